/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Preloaded into SoapySDRServer by a test. The server announces itself through Avahi and ends itself where no system bus is
 * running; the test names its address, and the announcement goes nowhere. */

static int it;

void *avahi_client_new(void) { return &it; }
int avahi_client_get_state(void) { return 2; } /* AVAHI_CLIENT_S_RUNNING */
int avahi_client_errno(void) { return 0; }
void avahi_client_free(void) {}
const char *avahi_client_get_version_string(void) { return "none"; }
const char *avahi_client_get_host_name(void) { return "localhost"; }
const char *avahi_client_get_host_name_fqdn(void) { return "localhost"; }
void *avahi_entry_group_new(void) { return &it; }
int avahi_entry_group_add_service_strlst(void) { return 0; }
int avahi_entry_group_commit(void) { return 0; }
int avahi_entry_group_free(void) { return 0; }
int avahi_entry_group_reset(void) { return 0; }
void *avahi_service_browser_new(void) { return &it; }
int avahi_service_browser_free(void) { return 0; }
const char *avahi_client_get_domain_name(void) { return "local"; }
void *avahi_entry_group_get_client(void) { return &it; }
void *avahi_service_browser_get_client(void) { return &it; }
