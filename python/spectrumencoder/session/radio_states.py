# SPDX-License-Identifier: GPL-3.0-or-later
"""What a radio that is opened again says on `status`: the state, and the values of its key RADIO."""

RECONNECT_STATE = "reconnect"
LOST, TRY, BACK = "lost", "try", "back"
