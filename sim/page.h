#pragma once
// The report as one HTML page: no scripts, nothing fetched, light and dark.
#include <string>

#include "sim/report.h"

namespace starling::sim {

std::string to_html(const Report& report);

}  // namespace starling::sim
