#include "activity.hpp"

namespace talus::sim {

namespace {

#define TALUS_ACTIVITY_NAME(name, text) text,
constexpr std::string_view kUnitNames[] = {TALUS_UNIT_ACTIVITIES(TALUS_ACTIVITY_NAME)};
constexpr std::string_view kCoreNames[] = {TALUS_CORE_ACTIVITIES(TALUS_ACTIVITY_NAME)};
#undef TALUS_ACTIVITY_NAME

} // namespace

std::string_view activity_name(UnitActivity activity) {
    return kUnitNames[static_cast<std::size_t>(activity)];
}

std::string_view activity_name(CoreActivity activity) {
    return kCoreNames[static_cast<std::size_t>(activity)];
}

} // namespace talus::sim
