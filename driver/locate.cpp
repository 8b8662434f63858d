#include "locate.hpp"

#include "error.hpp"

#include <dlfcn.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <set>
#include <sstream>
#include <vector>

namespace talus::driver {
namespace {

namespace fs = std::filesystem;

const char* environment(const char* name) {
    const char* value = std::getenv(name);
    return value != nullptr && value[0] != '\0' ? value : nullptr;
}

// The folders of the running program and of this library, each once.
std::vector<fs::path> own_folders() {
    std::vector<fs::path> folders;
    std::error_code error;
    const fs::path program = fs::read_symlink("/proc/self/exe", error);
    if (!error)
        folders.push_back(program.parent_path());
    Dl_info info;
    if (dladdr(reinterpret_cast<const void*>(&find_simulator), &info) != 0 &&
        info.dli_fname != nullptr) {
        const fs::path library = fs::canonical(info.dli_fname, error);
        if (!error && (folders.empty() || library.parent_path() != folders.front()))
            folders.push_back(library.parent_path());
    }
    return folders;
}

bool is_program(const fs::path& path) {
    std::error_code error;
    return fs::is_regular_file(path, error) && access(path.c_str(), X_OK) == 0;
}

} // namespace

// `path`, or what the environment names, or beside this program or library, or in PATH.
static std::string find_program(const std::string& name, const char* variable_name,
                                const std::string& path, const std::string& what) {
    const char* variable = environment(variable_name);
    if (!path.empty() || variable != nullptr) {
        std::string given = !path.empty() ? path : variable;
        if (is_program(given))
            return given;
        throw Error(TALUS_DRV_NOT_FOUND,
                    given + " is not a program" +
                        (path.empty() ? std::string(" (environment ") + variable_name + ")" : ""));
    }
    // bin/ is beside lib/ or, with multiarch library folders, two levels above the library's
    // folder.
    std::vector<fs::path> candidates;
    for (const fs::path& folder : own_folders())
        for (const char* bin : {".", "../bin", "../../bin"})
            candidates.push_back((folder / bin / name).lexically_normal());
    if (const char* variable_path = environment("PATH")) {
        std::istringstream folders(variable_path);
        for (std::string folder; std::getline(folders, folder, ':');)
            if (!folder.empty())
                candidates.push_back((fs::path(folder) / name).lexically_normal());
    }
    std::set<fs::path> searched;
    std::string list;
    for (const fs::path& candidate : candidates) {
        if (!searched.insert(candidate).second)
            continue;
        if (is_program(candidate))
            return candidate.string();
        list += "\n  " + candidate.string();
    }
    throw Error(TALUS_DRV_NOT_FOUND,
                what + " " + name + " was not found; build it, or name it in the " +
                    "environment variable " + variable_name + ". Searched:" + list);
}

std::string find_simulator(const std::string& path) {
    return find_program("talus-sim", "TALUS_SIM", path, "the simulator's program");
}

std::string find_daemon() {
    return find_program("talusd", "TALUSD", "", "the device's owner");
}

std::string find_firmware(const std::string& path) {
    std::error_code error;
    const char* variable = environment("TALUS_FIRMWARE");
    if (!path.empty() || variable != nullptr) {
        std::string given = !path.empty() ? path : variable;
        if (fs::is_regular_file(given, error))
            return given;
        throw Error(TALUS_DRV_NOT_FOUND, "there is no boot image at " + given +
                                             (path.empty() ? " (environment TALUS_FIRMWARE)" : ""));
    }
    std::string searched;
    for (const fs::path& folder : own_folders())
        for (const char* lib : {".", "../lib", "../../lib"}) {
            const fs::path image =
                (folder / lib / "talus" / "firmware" / "talus.img").lexically_normal();
            searched += "\n  " + image.string();
            if (fs::is_regular_file(image, error))
                return image.string();
        }
    throw Error(TALUS_DRV_NOT_FOUND,
                "no boot image found; build the firmware, or name the image in "
                "the environment variable TALUS_FIRMWARE. Searched:" +
                    searched);
}

} // namespace talus::driver
