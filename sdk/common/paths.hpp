// Where the installed parts lie, relative to the code that runs.
#pragma once

#include <filesystem>
#include <vector>

namespace talus::common {

// Folders that may hold Talus's libraries and their data (talus/kernels, talus/firmware): beside
// this library, and lib beside the program's folder. Works in a build tree and after an
// installation.
std::vector<std::filesystem::path> library_folders();

} // namespace talus::common
