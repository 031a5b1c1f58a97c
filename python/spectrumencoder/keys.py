# SPDX-License-Identifier: GPL-3.0-or-later
"""The vocabulary: every tag, PMT, JSON and SigMF key, written once.

Mirrors ``include/gnuradio/spectrumencoder/keys.h``; a test asserts that both lists are equal. JSON lines use the keys as
they stand; SigMF annotations carry those of ``EVENT_FIELDS`` prefixed by ``SIGMF_PREFIX``.
"""

# Stream tags
RX_FREQ = "rx_freq"
RX_RATE = "rx_rate"
RX_TIME = "rx_time"
FRAME_START = "frame_start"
FRAME_HOP = "frame_hop"
FRAME_AVERAGE = "frame_average"
SKIPPED = "skipped"                # spectrum_decoder also tags with the event fields LABEL and CONFIDENCE

# Message ports
ANOMALIES = "anomalies"
STATUS = "status"
CONTROL = "control"
EVENTS = "events"
ENCODED = "encoded"
DETECTIONS = "detections"
TRACKS = "tracks"
SIGNALS = "signals"
CMD = "cmd"                        # commands to a radio, as gr-soapy takes them
SWEEPS = "sweeps"

# Event fields
EVENT_ID = "event_id"
STATE = "state"
TIMESTAMP = "timestamp"
TIME_SOURCE = "time_source"
SAMPLE_START = "sample_start"
SAMPLE_COUNT = "sample_count"
FREQ_CENTER_HZ = "freq_center_hz"
BANDWIDTH_HZ = "bandwidth_hz"
POWER_DBFS = "power_dbfs"
SNR_DB = "snr_db"
ANOMALY_SCORE = "anomaly_score"
P_VALUE = "p_value"
THRESHOLD = "threshold"
IS_ANOMALY = "is_anomaly"
THREAT_LEVEL = "threat_level"
ANALYSIS_TYPE = "analysis_type"
POSSIBLE_THREATS = "possible_threats"
LABEL = "label"
CONFIDENCE = "confidence"
BAND = "band"
MODEL = "model"
DROPOUT_RATE = "dropout_rate"
LATENCY_MS = "latency_ms"
LINE = "line"                      # number of a line that is published over ZeroMQ, from 1 on
RECORDING = "recording"            # name of the recording, if one file holds the events of several
FREQ_RELATIVE = "freq_relative"    # true: the centre frequency is not known, frequencies count from it
ALERT = "alert"                    # new, gone, louder, moved, changed, raised floor, receiver, burst
EMITTER_ID = "emitter_id"          # number in the band file
EMITTER_NAME = "emitter_name"      # given by the operator
BURSTS = "bursts"                  # of the emitter that were heard
FIRST_HEARD = "first_heard"        # POSIX seconds
LAST_HEARD = "last_heard"

SIGNAL_ID = "signal_id"            # number of a signal, in messages of port `signals`
DUTY_CYCLE = "duty_cycle"          # share of the time since it was heard first that a signal was on

EVENT_FIELDS = (
    EVENT_ID, STATE, TIMESTAMP, TIME_SOURCE, SAMPLE_START, SAMPLE_COUNT, FREQ_CENTER_HZ, BANDWIDTH_HZ, FREQ_RELATIVE,
    POWER_DBFS, SNR_DB, ANOMALY_SCORE, P_VALUE, THRESHOLD, IS_ANOMALY, THREAT_LEVEL, ANALYSIS_TYPE,
    POSSIBLE_THREATS, LABEL, CONFIDENCE, BAND, MODEL, DROPOUT_RATE, LATENCY_MS, ALERT, EMITTER_ID, EMITTER_NAME, BURSTS,
    FIRST_HEARD, LAST_HEARD,
)

# Signal fields (message port `signals` of signal_list); a message is about one burst of a signal
SIGNAL_FIELDS = (
    SIGNAL_ID, STATE, TIMESTAMP, TIME_SOURCE, SAMPLE_START, SAMPLE_COUNT, FREQ_CENTER_HZ, BANDWIDTH_HZ, FREQ_RELATIVE, POWER_DBFS,
    SNR_DB, LABEL, CONFIDENCE, BAND, MODEL, BURSTS, DUTY_CYCLE, FIRST_HEARD, LAST_HEARD,
)

# Track fields (message port `tracks` of doma_tracker); some event fields also apply to tracks
TRACK_ID = "track_id"
KIND = "kind"                      # spatial, spectral
AGE_S = "age_s"
HITS = "hits"
IDENTITY = "identity"
SOURCE = "source"
LATITUDE = "latitude"              # latitude, longitude in degrees, altitude in metres: as SigMF's spatial extension has them
LONGITUDE = "longitude"
ALTITUDE = "altitude"
POSITION_M = "position_m"          # east, north (and up) of the origin
VELOCITY_MPS = "velocity_mps"
COVARIANCE = "covariance"          # row by row, of position and velocity, or of frequency and drift
DRIFT_HZ_S = "drift_hz_s"
HOP_SET_HZ = "hop_set_hz"
MODE_PROBABILITIES = "mode_probabilities"
PREDICTIONS = "predictions"        # a list of dicts, one per horizon
HORIZON_S = "horizon_s"
ANOMALY_IDS = "anomaly_ids"
TRACK_ANOMALY = "track_anomaly"    # a dict of kind, timestamp, distance_m, score; absent while the motion is possible
DISTANCE_M = "distance_m"
SCORE = "score"

TRACK_FIELDS = (
    TRACK_ID, STATE, TIMESTAMP, KIND, AGE_S, HITS, IDENTITY, SOURCE, LABEL, LATITUDE, LONGITUDE, ALTITUDE, POSITION_M,
    VELOCITY_MPS, FREQ_CENTER_HZ, FREQ_RELATIVE, DRIFT_HZ_S, BANDWIDTH_HZ, POWER_DBFS, HOP_SET_HZ, COVARIANCE,
    MODE_PROBABILITIES, ANOMALY_IDS, TRACK_ANOMALY, PREDICTIONS,
)

# Status fields (message port `status` of every block: a dict)
BLOCK = "block"
STATUS_STATE = "status"          # running, stopped, failed, refused, malformed, skipped, uncalibrated, general_table, dropped
MESSAGE = "message"
FRAMES = "frames"
DROPPED_FRAMES = "dropped_frames"
DROPPED_RETUNE = "dropped_retune"
DROPPED_RATE = "dropped_rate"
DROPPED_RETAG = "dropped_retag"
DROPPED_NONFINITE = "dropped_nonfinite"
DROPPED_CONSTANT = "dropped_constant"  # a run of identical samples: zeros for lost ones, or a receiver that stands still
CLIPPED_FRAMES = "clipped_frames"  # sent, with samples at full scale
SHORT_FRAMES = "short_frames"      # sent with fewer windows, before a break and at the end
TIME_BACKWARD = "time_backward"    # rx_time tags before the time that was expected
SKIPPED_FRAMES = "skipped_frames"
FLAGGED_FRAMES = "flagged_frames"
UNCALIBRATED_FRAMES = "uncalibrated_frames"
SUPPRESSED_EVENTS = "suppressed_events"
SLOW_SUBSCRIBERS = "slow_subscribers"  # how often a ZeroMQ subscriber fell behind, and began to lose lines
K_KEPT = "k_kept"                  # tokens per frame that the encoder keeps
FULL_FRAMES = "full_frames"        # adaptive dropout: frames encoded with the tokens of the dropout rate
FEW_FRAMES = "few_frames"          # with few tokens
HELD_FRAMES = "held_frames"        # not encoded: they repeat the last answer
MEAN_TOKENS = "mean_tokens"        # tokens encoded per frame
ACCEPTED_FRAMES = "accepted_frames"  # ensemble only: frames that `fast` answered
REFINED_FRAMES = "refined_frames"    # ensemble only: frames that `large` answered
ENCODED_PDUS = "encoded_pdus"
ENCODED_BYTES = "encoded_bytes"
WAITING_PDUS = "waiting_pdus"      # spectrum_decoder: received and not decoded yet
MALFORMED = "malformed"
REPORTS = "reports"                # doma_tracker: messages that it could read
REFUSED_REPORTS = "refused_reports"  # by reason
TRACK_ANOMALIES = "track_anomalies"

EMITTERS = "emitters"              # their number; a list of dicts after the command `list`, and when they were learned
LEARNED_S = "learned_s"            # signal that was learned, s
LEARNING = "learning"
IGNORED = "ignored"                # ranges that never alert, pairs of Hz
BELONGS = "belongs"                # of an emitter: it is usual on this band
ACCEPTED = "accepted"              # because the operator said so
STEADY = "steady"                  # it is there all the time
GONE = "gone"

# Commands in `control` messages, for the registry of anomaly_detector
ACCEPT = "accept"                  # emitter_id
IGNORE = "ignore"                  # emitter_id, or [low, high] in Hz
UNIGNORE = "unignore"              # [low, high] in Hz
NAME = "name"                      # [emitter_id, text]
LIST = "list"                      # True: a status `emitters` with all of them

DRAWS = "draws"                    # anomaly_display
SKIPPED_DRAWS = "skipped_draws"    # due while the previous draw was still running
LOST_ROWS = "lost_rows"            # waterfall rows dropped because it did not draw for too long
LOST_MESSAGES = "lost_messages"

# Health, once a second on `status` of spectrum_monitor, together with FRAMES, DROPPED_FRAMES, DROPPED_CONSTANT, CLIPPED_FRAMES
# and SKIPPED_FRAMES
FRAMES_PER_S = "frames_per_s"
LATENCY_P50_MS = "latency_p50_ms"  # from the arrival of a frame's last sample to its verdict; live sources only
LATENCY_P99_MS = "latency_p99_ms"
QUEUE_DEPTH = "queue_depth"        # frames between tokenizer and verdict
OVERFLOWS = "overflows"            # gaps that the radio reported
DEVICE = "device"
RADIO_LOST = "radio_lost"          # POSIX seconds of its last sample, while the radio is lost
RADIO = "radio"                    # of a status `reconnect`: lost, try, back; with RADIO_LOST and WHY

# Sweeps (message port `sweeps` of band_scanner), with TIMESTAMP, SAMPLE_START and SAMPLE_COUNT of the whole sweep
SWEEP = "sweep"                    # its number, from 0
TIMESTAMP_END = "timestamp_end"
FREQ_START_HZ = "freq_start_hz"    # frequency of the first bin of the row
BIN_WIDTH_HZ = "bin_width_hz"
HOPS = "hops"
HELD_HOPS = "held_hops"            # hops at which an event held the scanner
DWELL_SAMPLES = "dwell_samples"    # samples that went into the row

# History: rows of ``history.reader``, with TIMESTAMP and TIMESTAMP_END of what they are about
RUN_ID = "run_id"                  # number of a run in its history
WHY = "why"                        # the run ended; absent: it did not say, as after a power cut
SECONDS = "seconds"                # of signal
FLOOR_DBFS = "floor_dbfs"          # noise floor across the bins
CHANNEL_HZ = "channel_hz"          # width of a channel
OCCUPANCY = "occupancy"            # share of the frames in which a channel or an emitter was above the floor
MEAN_DB = "mean_db"                # levels in dB over the floor
MAX_DB = "max_db"
GAPS = "gaps"                      # stretches without signal within a minute, pairs of POSIX seconds
LOSSES = "losses"                  # of the radio: dicts of TIMESTAMP and WHY
# Push: events and the retained state on an MQTT broker
MESSAGE_ID = "message_id"          # the same if an event is sent again
ALERTS_HOUR = "alerts_hour"        # alerts that opened in the last hour
PROBLEM = "problem"                # what was lost in the last minute, in words; "" if nothing
WAITING = "waiting"                # events in the spool
DROPPED = "dropped"                # events that will not arrive

# Settings in status (with DROPOUT_RATE and THRESHOLD, above); `settings.py` lists those that `control` messages change
DROPOUT_POLICY = "dropout_policy"
ADAPTIVE_DROPOUT = "adaptive_dropout"
ROPE_MODE = "rope_mode"
BACKEND = "backend"
RUNTIME = "runtime"
ENCODED_STEP = "encoded_step"
CONFIDENCE_THRESHOLD = "confidence_threshold"
FALSE_ALARM_RATE = "false_alarm_rate"
FALSE_EVENTS_PER_HOUR = "false_events_per_hour"
THRESHOLD_MODE = "threshold_mode"
HOLD = "hold"
KEEP_BANDS_HZ = "keep_bands_hz"    # pairs of frequencies between which tokens are kept before others
GATE = "gate"
PROCESS_NOISE = "process_noise"
HORIZON = "horizon"

# Sensors and hub, besides LATITUDE and LONGITUDE
SENSOR = "sensor"                  # id of a sensor
HEALTH = "health"                  # message port of hub_sender
LINK = "link"                      # a status: the state of the connection to the hub
WAITING_MESSAGES = "waiting_messages"  # in the sensor's spool: not acknowledged by the hub
DROPPED_MESSAGES = "dropped_messages"  # by the sensor, for lack of room
SENT_BYTES = "sent_bytes"          # given to the network, repeats included
BEARING = "bearing"                # of a report: {azimuth, az_error} in degrees from true north
RECEIVERS = "receivers"            # of a report: receivers that measured one emission

SIGMF_PREFIX = "spectrumencoder:"


def vocabulary() -> dict[str, str]:
    """Name -> key of every constant above (the C++ side offers the same mapping)."""
    return {name: value for name, value in globals().items() if name.isupper() and isinstance(value, str)}
