#include "config.hpp"

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <iterator>
#include <type_traits>

#include <fmt/format.h>
#include <toml++/toml.h>

namespace talus::sim {

namespace {

/// Where a value was written: a line of the file, or an assignment (copies have no source).
std::string where(const std::string& file, const toml::node& node) {
    const auto line = node.source().begin.line;
    return line == 0 ? "--set" : fmt::format("{}:{}", file, line);
}

template <typename T>
void read_value(const toml::node& node, const std::string& at, const std::string& key, T& out,
                double lowest, double highest) {
    if constexpr (std::is_same_v<T, bool>) {
        const auto value = node.value_exact<bool>();
        if (!value) {
            throw ConfigError(fmt::format("{}: {} must be true or false", at, key));
        }
        out = *value;
    } else if constexpr (std::is_floating_point_v<T>) {
        if (!node.is_number()) {
            throw ConfigError(fmt::format("{}: {} must be a number", at, key));
        }
        const double value = *node.value<double>();
        if (!(value >= lowest && value <= highest)) {
            throw ConfigError(
                fmt::format("{}: {} = {} is outside {}..{}", at, key, value, lowest, highest));
        }
        out = value;
    } else {
        const auto value = node.value_exact<std::int64_t>();
        if (!value) {
            throw ConfigError(fmt::format("{}: {} must be an integer", at, key));
        }
        if (*value < static_cast<std::int64_t>(lowest) ||
            *value > static_cast<std::int64_t>(highest)) {
            throw ConfigError(fmt::format("{}: {} = {} is outside {}..{}", at, key, *value,
                                          static_cast<std::int64_t>(lowest),
                                          static_cast<std::int64_t>(highest)));
        }
        out = static_cast<T>(*value);
    }
}

/// Rules between keys.
void check(const Config& c, const std::string& file) {
    const auto require = [&](bool ok, const char* text) {
        if (!ok) {
            throw ConfigError(fmt::format("{}: {}", file, text));
        }
    };
    const auto power_of_two = [](std::uint64_t value) { return (value & (value - 1)) == 0; };
    require(c.sram.scratch_bytes <= c.sram.bytes, "sram.scratch_bytes is above sram.bytes");
    require(c.sram.bytes % (32u << 20) == 0 && c.sram.scratch_bytes % (32u << 20) == 0,
            "shared SRAM is split at 32 MiB granularity: sram.bytes and sram.scratch_bytes must be "
            "multiples of 33554432");
    require(power_of_two(c.dram.bank_groups) && power_of_two(c.dram.banks_per_group),
            "dram.bank_groups and dram.banks_per_group must be powers of two");
    const std::uint64_t row = std::uint64_t{c.dram.columns} * c.dram.channel_bits / 8;
    require(row % (8ull * c.dram.burst_bytes) == 0 &&
                c.dram.channel_interleave_bytes % c.dram.burst_bytes == 0,
            "dram: a row must be a multiple of 8 bursts, channel_interleave_bytes of one");
    const std::uint64_t cells = row * c.dram.rows * c.dram.bank_groups * c.dram.banks_per_group *
                                c.dram.ranks * c.dram.channels;
    require(c.dram.bytes <= (c.dram.ecc ? cells / 8 * 7 : cells),
            "dram.bytes is above what channels, ranks, banks, rows and columns hold (with ecc, an "
            "eighth of it is check bits)");
    require(power_of_two(c.pcie.completion_bytes), "pcie.completion_bytes must be a power of two");
    require(power_of_two(c.pcie.max_payload_bytes),
            "pcie.max_payload_bytes must be a power of two");
    require(power_of_two(c.hart.icache_bytes), "hart.icache_bytes must be a power of two");
    require(c.local.bytes == 0x60000, "local.bytes must be 393216: the address map fixes it");
    require(c.noc.sides != 3, "noc.sides must be 2 (left and right) or 4 (top and bottom as well)");
    require(c.fi.request_bytes % 64 == 0, "fi.request_bytes must be a multiple of 64");
    require(c.power.idle_mw <= c.power.cap_mw && c.power.low_khz <= c.power.middle_khz,
            "power: idle_mw <= cap_mw and low_khz <= middle_khz must hold");
}

/// A row of the configuration's tables. Data, so that a hundred keys cost one loop and not a
/// hundred copies of its body.
enum class Type : std::uint8_t { kU32, kU64, kF64, kFlag };
struct Field {
    std::string_view section;
    std::string_view key;
    Type type;
    std::size_t offset; ///< in Config
    double lowest;
    double highest;
};

template <typename T>
constexpr Type type_of() {
    return std::is_same_v<T, bool>            ? Type::kFlag
           : std::is_same_v<T, std::uint32_t> ? Type::kU32
           : std::is_same_v<T, std::uint64_t> ? Type::kU64
                                              : Type::kF64;
}

using detail::f64;
using detail::flag;
using detail::u32;
using detail::u64;
static_assert(std::is_standard_layout_v<Config>, "offsetof finds its members");

#define TALUS_CONFIG_ROW(name, type, lowest, highest)                                              \
    {section_name,                                                                                 \
     #name,                                                                                        \
     type_of<type>(),                                                                              \
     base + offsetof(Part, name),                                                                  \
     static_cast<double>(lowest),                                                                  \
     static_cast<double>(highest)},
#define TALUS_CONFIG_ROWS(section, Struct, table)                                                  \
    {                                                                                              \
        using Part = Struct;                                                                       \
        constexpr std::string_view section_name = #section;                                        \
        constexpr std::size_t base = offsetof(Config, section);                                    \
        constexpr Field rows[] = {table(TALUS_CONFIG_ROW)};                                        \
        all.insert(all.end(), std::begin(rows), std::end(rows));                                   \
    }

const std::vector<Field>& fields() {
    static const std::vector<Field> kFields = [] {
        std::vector<Field> all;
        TALUS_CONFIG_SECTIONS(TALUS_CONFIG_ROWS)
        return all;
    }();
    return kFields;
}
#undef TALUS_CONFIG_ROWS
#undef TALUS_CONFIG_ROW

bool known(std::string_view section, std::string_view key = {}) {
    return std::any_of(fields().begin(), fields().end(), [&](const Field& field) {
        return field.section == section && (key.empty() || field.key == key);
    });
}

/// Every key is one that the configuration has.
void check_names(const toml::table& root, const std::string& file) {
    for (const auto& [section, node] : root) {
        if (!known(section)) {
            throw ConfigError(
                fmt::format("{}: unknown key '{}'", where(file, node), std::string_view(section)));
        }
        const toml::table* table = node.as_table();
        if (table == nullptr) {
            throw ConfigError(fmt::format("{}: '{}' must be a table", where(file, node),
                                          std::string_view(section)));
        }
        for (const auto& [key, value] : *table) {
            if (!known(section, key)) {
                throw ConfigError(fmt::format("{}: unknown key '{}.{}'", where(file, value),
                                              std::string_view(section), std::string_view(key)));
            }
        }
    }
}

void read_field(const toml::node& node, const std::string& file, const Field& field,
                Config& config) {
    const std::string at = where(file, node);
    const std::string key = fmt::format("{}.{}", field.section, field.key);
    void* const member = reinterpret_cast<std::byte*>(&config) + field.offset;
    switch (field.type) {
    case Type::kU32:
        read_value(node, at, key, *static_cast<u32*>(member), field.lowest, field.highest);
        break;
    case Type::kU64:
        read_value(node, at, key, *static_cast<u64*>(member), field.lowest, field.highest);
        break;
    case Type::kF64:
        read_value(node, at, key, *static_cast<f64*>(member), field.lowest, field.highest);
        break;
    case Type::kFlag:
        read_value(node, at, key, *static_cast<flag*>(member), field.lowest, field.highest);
        break;
    }
}

Config from_table(const toml::table& root, const std::string& file) {
    check_names(root, file);
    Config config;
    for (const Field& field : fields()) {
        const toml::table* table = root[field.section].as_table();
        if (table == nullptr) {
            throw ConfigError(fmt::format("{}: missing table [{}]", file, field.section));
        }
        const toml::node* node = table->get(field.key);
        if (node == nullptr) {
            throw ConfigError(
                fmt::format("{}: missing key '{}.{}'", file, field.section, field.key));
        }
        read_field(*node, file, field, config);
    }
    check(config, file);
    return config;
}

/// Replaces one value of `root` by that of `assignment`, "section.key=value" in TOML's notation.
void assign(toml::table& root, const std::string& assignment) {
    const std::string name = "--set " + assignment;
    toml::table parsed;
    try {
        parsed = toml::parse(assignment, name);
    } catch (const toml::parse_error&) {
        throw ConfigError(fmt::format("{}: expected SECTION.KEY=VALUE, a string in quotes", name));
    }
    toml::table* section = nullptr;
    for (auto& [section_key, section_node] : parsed) {
        section = root[section_key].as_table();
        const toml::table* values = section_node.as_table();
        if (section == nullptr || values == nullptr || values->size() != 1) {
            throw ConfigError(fmt::format("{}: expected SECTION.KEY=VALUE with a section of the "
                                          "configuration file",
                                          name));
        }
        for (auto& [key, value] : *values) {
            if (!section->contains(key)) {
                throw ConfigError(fmt::format("{}: no such key '{}.{}'", name,
                                              std::string_view(section_key),
                                              std::string_view(key)));
            }
            section->insert_or_assign(key, value);
        }
    }
    if (section == nullptr) {
        throw ConfigError(fmt::format("{}: expected SECTION.KEY=VALUE", name));
    }
}

} // namespace

Config Config::parse(std::string_view text, const std::string& name) {
    try {
        return from_table(toml::parse(text, name), name);
    } catch (const toml::parse_error& error) {
        throw ConfigError(fmt::format("{}:{}: {}", name, error.source().begin.line,
                                      std::string_view(error.description())));
    }
}

Config Config::load(const std::string& path, const std::vector<std::string>& assignments) {
    if (!std::filesystem::is_regular_file(path)) {
        throw ConfigError(fmt::format("{}: no such configuration file", path));
    }
    try {
        toml::table root = toml::parse_file(path);
        for (const std::string& assignment : assignments) {
            assign(root, assignment);
        }
        return from_table(root, path);
    } catch (const toml::parse_error& error) {
        throw ConfigError(fmt::format("{}:{}: {}", path, error.source().begin.line,
                                      std::string_view(error.description())));
    }
}

std::vector<std::string> Config::describe() const {
    std::vector<std::string> lines;
    for (const Field& field : fields()) {
        const bool host_only = (field.section == "hart" && field.key == "translator") ||
                               (field.section == "sim" && field.key == "value_threads");
        if (host_only) {
            continue; // same bits, same clocks
        }
        const void* const member = reinterpret_cast<const std::byte*>(this) + field.offset;
        std::string value;
        switch (field.type) {
        case Type::kU32:
            value = fmt::format("{}", *static_cast<const u32*>(member));
            break;
        case Type::kU64:
            value = fmt::format("{}", *static_cast<const u64*>(member));
            break;
        case Type::kF64:
            value = fmt::format("{}", *static_cast<const f64*>(member));
            break;
        case Type::kFlag:
            value = fmt::format("{}", *static_cast<const flag*>(member));
            break;
        }
        lines.push_back(fmt::format("{}.{} = {}", field.section, field.key, value));
    }
    return lines;
}

std::string Config::default_path() {
    std::error_code error;
    const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", error);
    const std::filesystem::path path =
        program.parent_path().parent_path() / "share/talus/config/t2.toml";
    if (error || !std::filesystem::is_regular_file(path, error)) {
        throw ConfigError(fmt::format("default configuration {} not found; name one with --config",
                                      path.string()));
    }
    return path.string();
}

} // namespace talus::sim
