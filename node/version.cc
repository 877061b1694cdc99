#include "node/version.h"

namespace starling::node {

std::string version() { return STARLING_VERSION; }
std::string commit() { return STARLING_COMMIT; }

}  // namespace starling::node
