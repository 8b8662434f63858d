#include "isa_string.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <stdexcept>
#include <string>

#include <fmt/format.h>

namespace talus::sim::bare {

namespace {

constexpr std::string_view kCores =
    "the cores have rv64imafdc_zicsr_zifencei_zicntr_zicbom_zba_zbb_zfh, and with v also zvfh";

/// What the scalar core has, under every name that the manual gives to it or to a part of it.
constexpr std::array<std::string_view, 21> kScalar = {
    "zicsr",  "zifencei", "zicntr",   "zihpm",  "zicbom", "zba",    "zbb",
    "zfh",    "zfhmin",   "zmmul",    "zaamo",  "zalrsc", "zca",    "zcd",
    "ziccif", "ziccrse",  "ziccamoa", "za64rs", "smpmp",  "sm1p11", "sm1p12"};

/// Zve* and Zvl* are parts of V with VLEN = 512 and ELEN = 64.
constexpr std::array<std::string_view, 14> kVector = {
    "zve32x",  "zve32f",  "zve64x",  "zve64f", "zve64d",  "zvl32b",  "zvl64b",
    "zvl128b", "zvl256b", "zvl512b", "zvfh",   "zvfhmin", "zvfhmin", "v"};

template <std::size_t N>
bool contains(const std::array<std::string_view, N>& names, std::string_view name) {
    return std::find(names.begin(), names.end(), name) != names.end();
}

[[noreturn]] void reject(std::string_view isa, std::string_view part, std::string_view why) {
    throw std::invalid_argument(fmt::format("ISA {}: {} {}; {}", isa, part, why, kCores));
}

bool digit(char c) {
    return c >= '0' && c <= '9';
}

/// Cuts a version ("2", "1p0") off the end of a multi-letter name; not from zvl512b or sm1p12.
std::string_view without_version(std::string_view name) {
    if (contains(kScalar, name) || contains(kVector, name)) {
        return name;
    }
    std::string_view head = name;
    const auto cut_digits = [&head] {
        const std::size_t before = head.size();
        while (!head.empty() && digit(head.back())) {
            head.remove_suffix(1);
        }
        return head.size() != before;
    };
    if (!cut_digits()) {
        return name;
    }
    if (head.size() > 1 && head.back() == 'p' && digit(head[head.size() - 2])) {
        head.remove_suffix(1);
        cut_digits();
    }
    return head;
}

} // namespace

Isa parse_isa(std::string_view text) {
    std::string lower(text);
    std::ranges::transform(lower, lower.begin(),
                           [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    std::string_view rest = lower;
    if (rest.starts_with("rv32") || rest.starts_with("rv128")) {
        reject(text, rest.substr(0, rest[2] == '3' ? 4 : 5), "is another base");
    }
    if (!rest.starts_with("rv64")) {
        reject(text, "it", "does not begin with rv64");
    }
    rest.remove_prefix(4);

    Isa isa;
    // Single letters, each with an optional version, up to the first multi-letter name.
    bool first = true;
    while (
        !rest.empty() && rest[0] != '_' && rest[0] != 'z' && rest[0] != 'x' &&
        !(rest[0] == 's' && rest.size() > 1 && std::isalpha(static_cast<unsigned char>(rest[1])))) {
        const char letter = rest[0];
        const std::string_view name = rest.substr(0, 1);
        if (first && letter != 'i' && letter != 'g') {
            reject(text, name, "is no base; i or g comes first");
        }
        first = false;
        if (letter == 'v') {
            isa.vector = true;
        } else if (std::string_view("imafdcgu").find(letter) == std::string_view::npos) {
            reject(text, name,
                   std::isalpha(static_cast<unsigned char>(letter))
                       ? "is an extension that no core has"
                       : "is not understood");
        }
        rest.remove_prefix(1);
        while (!rest.empty() && digit(rest[0])) {
            rest.remove_prefix(1);
        }
        if (rest.size() > 1 && rest[0] == 'p' && digit(rest[1])) {
            rest.remove_prefix(1);
            while (!rest.empty() && digit(rest[0])) {
                rest.remove_prefix(1);
            }
        }
    }
    if (first) {
        reject(text, "it", "names no base; i or g comes after rv64");
    }
    while (!rest.empty()) {
        if (rest[0] == '_') {
            rest.remove_prefix(1);
            if (rest.empty() || rest[0] == '_') {
                reject(text, "an underscore", "has no name behind it");
            }
        }
        const std::string_view word = rest.substr(0, rest.find('_'));
        rest.remove_prefix(word.size());
        const std::string_view name = without_version(word);
        if (contains(kVector, name)) {
            isa.vector = true;
        } else if (!contains(kScalar, name) &&
                   (name.size() != 1 || std::string_view("imafdcu").find(name) == name.npos)) {
            reject(text, word, "is an extension that no core has");
        }
    }
    return isa;
}

} // namespace talus::sim::bare
