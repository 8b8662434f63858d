#include "sdk/common/paths.hpp"

#include <dlfcn.h>

namespace talus::common {

std::vector<std::filesystem::path> library_folders() {
    std::vector<std::filesystem::path> folders;
    std::error_code ignored;
    Dl_info where{};
    if (dladdr(reinterpret_cast<const void*>(&library_folders), &where) != 0 &&
        where.dli_fname != nullptr) {
        const auto library = std::filesystem::canonical(where.dli_fname, ignored);
        if (!ignored && !library.empty())
            folders.push_back(library.parent_path());
    }
    const auto program = std::filesystem::canonical("/proc/self/exe", ignored);
    if (!ignored && !program.empty())
        folders.push_back(program.parent_path().parent_path() / "lib");
    return folders;
}

} // namespace talus::common
