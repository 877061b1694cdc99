#pragma once
// The node's log: one line an event, key=value for people, JSON lines for machines, on stderr.
// Repeats of one event with the same fields are counted for a minute and said once. Thread: any.
#include <initializer_list>
#include <string>
#include <utility>

namespace starling::node {

using LogFields = std::initializer_list<std::pair<const char*, std::string>>;

// `level`: debug info warning error; `format`: text json. False: not one of them, nothing changed.
bool set_up_log(const std::string& level, const std::string& format);
bool set_log_level(const std::string& level);

// `event` is a short fixed name such as "peer_lost"; what varies goes into the fields.
void log_debug(const char* event, LogFields fields);
void log_info(const char* event, LogFields fields);
void log_warning(const char* event, LogFields fields);
void log_error(const char* event, LogFields fields);

}  // namespace starling::node
