/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

/*! \file
 * The one vocabulary: every tag, PMT, JSON and SigMF key, each written once, as an interned PMT symbol.
 * Mirrors python/spectrumencoder/keys.py; a test asserts that both lists are equal. */

#ifndef INCLUDED_SPECTRUMENCODER_KEYS_H
#define INCLUDED_SPECTRUMENCODER_KEYS_H

#include <gnuradio/spectrumencoder/api.h>
#include <pmt/pmt.h>
#include <map>
#include <string>

// X(name in Python, function in C++, key)
// clang-format off
#define SPECTRUMENCODER_KEYS(X) \
    X(RX_FREQ, rx_freq, "rx_freq") \
    X(RX_RATE, rx_rate, "rx_rate") \
    X(RX_TIME, rx_time, "rx_time") \
    X(FRAME_START, frame_start, "frame_start") \
    X(FRAME_HOP, frame_hop, "frame_hop") \
    X(FRAME_AVERAGE, frame_average, "frame_average") \
    X(SKIPPED, skipped, "skipped") \
    X(ANOMALIES, anomalies, "anomalies") \
    X(STATUS, status, "status") \
    X(CONTROL, control, "control") \
    X(EVENTS, events, "events") \
    X(ENCODED, encoded, "encoded") \
    X(DETECTIONS, detections, "detections") \
    X(TRACKS, tracks, "tracks") \
    X(SIGNALS, signals, "signals") \
    X(CMD, cmd, "cmd") \
    X(SWEEPS, sweeps, "sweeps") \
    X(EVENT_ID, event_id, "event_id") \
    X(STATE, state, "state") \
    X(TIMESTAMP, timestamp, "timestamp") \
    X(TIME_SOURCE, time_source, "time_source") \
    X(SAMPLE_START, sample_start, "sample_start") \
    X(SAMPLE_COUNT, sample_count, "sample_count") \
    X(FREQ_CENTER_HZ, freq_center_hz, "freq_center_hz") \
    X(BANDWIDTH_HZ, bandwidth_hz, "bandwidth_hz") \
    X(POWER_DBFS, power_dbfs, "power_dbfs") \
    X(SNR_DB, snr_db, "snr_db") \
    X(ANOMALY_SCORE, anomaly_score, "anomaly_score") \
    X(P_VALUE, p_value, "p_value") \
    X(THRESHOLD, threshold, "threshold") \
    X(IS_ANOMALY, is_anomaly, "is_anomaly") \
    X(THREAT_LEVEL, threat_level, "threat_level") \
    X(ANALYSIS_TYPE, analysis_type, "analysis_type") \
    X(POSSIBLE_THREATS, possible_threats, "possible_threats") \
    X(LABEL, label, "label") \
    X(CONFIDENCE, confidence, "confidence") \
    X(BAND, band, "band") \
    X(MODEL, model, "model") \
    X(DROPOUT_RATE, dropout_rate, "dropout_rate") \
    X(LATENCY_MS, latency_ms, "latency_ms") \
    X(LINE, line, "line")                \
    X(RECORDING, recording, "recording") \
    X(FREQ_RELATIVE, freq_relative, "freq_relative") \
    X(ALERT, alert, "alert") \
    X(EMITTER_ID, emitter_id, "emitter_id") \
    X(EMITTER_NAME, emitter_name, "emitter_name") \
    X(BURSTS, bursts, "bursts") \
    X(FIRST_HEARD, first_heard, "first_heard") \
    X(LAST_HEARD, last_heard, "last_heard") \
    X(SIGNAL_ID, signal_id, "signal_id") \
    X(DUTY_CYCLE, duty_cycle, "duty_cycle") \
    X(TRACK_ID, track_id, "track_id") \
    X(KIND, kind, "kind") \
    X(AGE_S, age_s, "age_s") \
    X(HITS, hits, "hits") \
    X(IDENTITY, identity, "identity") \
    X(SOURCE, source, "source") \
    X(LATITUDE, latitude, "latitude") \
    X(LONGITUDE, longitude, "longitude") \
    X(ALTITUDE, altitude, "altitude") \
    X(POSITION_M, position_m, "position_m") \
    X(VELOCITY_MPS, velocity_mps, "velocity_mps") \
    X(COVARIANCE, covariance, "covariance") \
    X(DRIFT_HZ_S, drift_hz_s, "drift_hz_s") \
    X(HOP_SET_HZ, hop_set_hz, "hop_set_hz") \
    X(MODE_PROBABILITIES, mode_probabilities, "mode_probabilities") \
    X(PREDICTIONS, predictions, "predictions") \
    X(HORIZON_S, horizon_s, "horizon_s") \
    X(ANOMALY_IDS, anomaly_ids, "anomaly_ids") \
    X(TRACK_ANOMALY, track_anomaly, "track_anomaly") \
    X(DISTANCE_M, distance_m, "distance_m") \
    X(SCORE, score, "score") \
    X(BLOCK, block, "block") \
    X(STATUS_STATE, status_state, "status") \
    X(MESSAGE, message, "message") \
    X(FRAMES, frames, "frames") \
    X(DROPPED_FRAMES, dropped_frames, "dropped_frames") \
    X(DROPPED_RETUNE, dropped_retune, "dropped_retune") \
    X(DROPPED_RATE, dropped_rate, "dropped_rate") \
    X(DROPPED_RETAG, dropped_retag, "dropped_retag") \
    X(DROPPED_NONFINITE, dropped_nonfinite, "dropped_nonfinite") \
    X(DROPPED_CONSTANT, dropped_constant, "dropped_constant") \
    X(CLIPPED_FRAMES, clipped_frames, "clipped_frames") \
    X(SHORT_FRAMES, short_frames, "short_frames") \
    X(TIME_BACKWARD, time_backward, "time_backward") \
    X(SKIPPED_FRAMES, skipped_frames, "skipped_frames") \
    X(FLAGGED_FRAMES, flagged_frames, "flagged_frames") \
    X(UNCALIBRATED_FRAMES, uncalibrated_frames, "uncalibrated_frames") \
    X(SUPPRESSED_EVENTS, suppressed_events, "suppressed_events")       \
    X(SLOW_SUBSCRIBERS, slow_subscribers, "slow_subscribers")          \
    X(K_KEPT, k_kept, "k_kept") \
    X(FULL_FRAMES, full_frames, "full_frames") \
    X(FEW_FRAMES, few_frames, "few_frames") \
    X(HELD_FRAMES, held_frames, "held_frames") \
    X(MEAN_TOKENS, mean_tokens, "mean_tokens") \
    X(ACCEPTED_FRAMES, accepted_frames, "accepted_frames") \
    X(REFINED_FRAMES, refined_frames, "refined_frames") \
    X(ENCODED_PDUS, encoded_pdus, "encoded_pdus") \
    X(ENCODED_BYTES, encoded_bytes, "encoded_bytes") \
    X(WAITING_PDUS, waiting_pdus, "waiting_pdus") \
    X(MALFORMED, malformed, "malformed") \
    X(DRAWS, draws, "draws") \
    X(SKIPPED_DRAWS, skipped_draws, "skipped_draws") \
    X(LOST_ROWS, lost_rows, "lost_rows") \
    X(LOST_MESSAGES, lost_messages, "lost_messages") \
    X(REPORTS, reports, "reports") \
    X(REFUSED_REPORTS, refused_reports, "refused_reports") \
    X(TRACK_ANOMALIES, track_anomalies, "track_anomalies") \
    X(EMITTERS, emitters, "emitters") \
    X(LEARNED_S, learned_s, "learned_s") \
    X(LEARNING, learning, "learning") \
    X(IGNORED, ignored, "ignored") \
    X(BELONGS, belongs, "belongs") \
    X(ACCEPTED, accepted, "accepted") \
    X(STEADY, steady, "steady") \
    X(GONE, gone, "gone") \
    X(ACCEPT, accept, "accept") \
    X(IGNORE, ignore, "ignore") \
    X(UNIGNORE, unignore, "unignore") \
    X(NAME, name, "name") \
    X(LIST, list, "list") \
    X(FRAMES_PER_S, frames_per_s, "frames_per_s") \
    X(LATENCY_P50_MS, latency_p50_ms, "latency_p50_ms") \
    X(LATENCY_P99_MS, latency_p99_ms, "latency_p99_ms") \
    X(QUEUE_DEPTH, queue_depth, "queue_depth") \
    X(OVERFLOWS, overflows, "overflows") \
    X(DEVICE, device, "device") \
    X(RADIO_LOST, radio_lost, "radio_lost") \
    X(RADIO, radio, "radio") \
    X(SWEEP, sweep, "sweep") \
    X(TIMESTAMP_END, timestamp_end, "timestamp_end") \
    X(FREQ_START_HZ, freq_start_hz, "freq_start_hz") \
    X(BIN_WIDTH_HZ, bin_width_hz, "bin_width_hz") \
    X(HOPS, hops, "hops") \
    X(HELD_HOPS, held_hops, "held_hops") \
    X(DWELL_SAMPLES, dwell_samples, "dwell_samples") \
    X(RUN_ID, run_id, "run_id") \
    X(WHY, why, "why") \
    X(SECONDS, seconds, "seconds") \
    X(FLOOR_DBFS, floor_dbfs, "floor_dbfs") \
    X(CHANNEL_HZ, channel_hz, "channel_hz") \
    X(OCCUPANCY, occupancy, "occupancy") \
    X(MEAN_DB, mean_db, "mean_db") \
    X(MAX_DB, max_db, "max_db") \
    X(GAPS, gaps, "gaps") \
    X(LOSSES, losses, "losses") \
    X(MESSAGE_ID, message_id, "message_id") \
    X(ALERTS_HOUR, alerts_hour, "alerts_hour") \
    X(PROBLEM, problem, "problem") \
    X(WAITING, waiting, "waiting") \
    X(DROPPED, dropped, "dropped") \
    X(DROPOUT_POLICY, dropout_policy, "dropout_policy") \
    X(ADAPTIVE_DROPOUT, adaptive_dropout, "adaptive_dropout") \
    X(ROPE_MODE, rope_mode, "rope_mode") \
    X(BACKEND, backend, "backend") \
    X(RUNTIME, runtime, "runtime") \
    X(ENCODED_STEP, encoded_step, "encoded_step") \
    X(CONFIDENCE_THRESHOLD, confidence_threshold, "confidence_threshold") \
    X(FALSE_ALARM_RATE, false_alarm_rate, "false_alarm_rate") \
    X(FALSE_EVENTS_PER_HOUR, false_events_per_hour, "false_events_per_hour") \
    X(THRESHOLD_MODE, threshold_mode, "threshold_mode") \
    X(HOLD, hold, "hold") \
    X(KEEP_BANDS_HZ, keep_bands_hz, "keep_bands_hz") \
    X(GATE, gate, "gate") \
    X(PROCESS_NOISE, process_noise, "process_noise") \
    X(HORIZON, horizon, "horizon") \
    X(SENSOR, sensor, "sensor") \
    X(HEALTH, health, "health") \
    X(LINK, link, "link") \
    X(WAITING_MESSAGES, waiting_messages, "waiting_messages") \
    X(DROPPED_MESSAGES, dropped_messages, "dropped_messages") \
    X(SENT_BYTES, sent_bytes, "sent_bytes") \
    X(BEARING, bearing, "bearing") \
    X(RECEIVERS, receivers, "receivers") \
    X(SIGMF_PREFIX, sigmf_prefix, "spectrumencoder:")
// clang-format on

namespace gr {
namespace spectrumencoder {
namespace keys {

#define X(name, function, key) SPECTRUMENCODER_API const pmt::pmt_t& function();
SPECTRUMENCODER_KEYS(X)
#undef X

/*! Name -> key of every constant above, as keys.vocabulary() in Python. */
SPECTRUMENCODER_API const std::map<std::string, std::string>& vocabulary();

} // namespace keys
} // namespace spectrumencoder
} // namespace gr

#endif /* INCLUDED_SPECTRUMENCODER_KEYS_H */
