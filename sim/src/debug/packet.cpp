#include "packet.hpp"

#include <algorithm>

namespace talus::sim::debug {

namespace {

constexpr char kDigits[] = "0123456789abcdef";

int digit(char c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

} // namespace

std::vector<PacketReader::Item> PacketReader::feed(std::string_view bytes) {
    std::vector<Item> items;
    for (const char c : bytes) {
        switch (state_) {
        case State::kIdle:
            if (c == '$') {
                state_ = State::kPayload;
                payload_.clear();
                sum_ = 0;
                oversized_ = false;
            } else if (c == '\x03') {
                items.push_back({Kind::kInterrupt, {}});
            }
            break;
        case State::kPayload:
        case State::kEscape:
            if (state_ == State::kPayload && c == '#') {
                state_ = State::kCheckHigh;
                break;
            }
            if (c == '$') { // never inside a packet: what came before was cut off
                state_ = State::kPayload;
                payload_.clear();
                sum_ = 0;
                oversized_ = false;
                break;
            }
            sum_ = static_cast<std::uint8_t>(sum_ + static_cast<std::uint8_t>(c));
            if (state_ == State::kPayload && c == '}') {
                state_ = State::kEscape;
                break;
            }
            if (payload_.size() < kMaxPacket) {
                payload_ += state_ == State::kEscape ? static_cast<char>(c ^ 0x20) : c;
            } else {
                oversized_ = true;
            }
            state_ = State::kPayload;
            break;
        case State::kCheckHigh:
            check_high_ = c;
            state_ = State::kCheckLow;
            break;
        case State::kCheckLow: {
            const int high = digit(check_high_);
            const int low = digit(c);
            state_ = State::kIdle;
            if (high < 0 || low < 0 || high * 16 + low != sum_) {
                items.push_back({Kind::kBadChecksum, {}});
            } else if (oversized_) {
                items.push_back({Kind::kOversized, {}});
            } else {
                items.push_back({Kind::kPacket, std::move(payload_)});
            }
            payload_.clear();
            break;
        }
        }
    }
    return items;
}

std::string frame(std::string_view payload) {
    std::string text = "$";
    std::uint8_t sum = 0;
    const auto put = [&](char c) {
        text += c;
        sum = static_cast<std::uint8_t>(sum + static_cast<std::uint8_t>(c));
    };
    for (const char c : payload) {
        if (c == '#' || c == '$' || c == '}' || c == '*') {
            put('}');
            put(static_cast<char>(c ^ 0x20));
        } else {
            put(c);
        }
    }
    text += '#';
    text += kDigits[sum >> 4];
    text += kDigits[sum & 15];
    return text;
}

std::string to_hex(std::span<const std::uint8_t> bytes) {
    std::string text;
    text.reserve(2 * bytes.size());
    for (const std::uint8_t byte : bytes) {
        text += kDigits[byte >> 4];
        text += kDigits[byte & 15];
    }
    return text;
}

std::string to_hex(std::string_view text) {
    return to_hex(std::span(reinterpret_cast<const std::uint8_t*>(text.data()), text.size()));
}

std::string hex_of_value(std::uint64_t value, unsigned bytes) {
    std::string text;
    for (unsigned i = 0; i < bytes; ++i, value >>= 8) {
        text += kDigits[value >> 4 & 15];
        text += kDigits[value & 15];
    }
    return text;
}

std::optional<std::vector<std::uint8_t>> from_hex(std::string_view text) {
    if (text.size() % 2 != 0) {
        return std::nullopt;
    }
    std::vector<std::uint8_t> bytes;
    bytes.reserve(text.size() / 2);
    for (std::size_t i = 0; i < text.size(); i += 2) {
        const int high = digit(text[i]);
        const int low = digit(text[i + 1]);
        if (high < 0 || low < 0) {
            return std::nullopt;
        }
        bytes.push_back(static_cast<std::uint8_t>(high * 16 + low));
    }
    return bytes;
}

std::optional<std::uint64_t> parse_hex(std::string_view text) {
    if (text.empty() || text.size() > 16) {
        return std::nullopt;
    }
    std::uint64_t value = 0;
    for (const char c : text) {
        const int d = digit(c);
        if (d < 0) {
            return std::nullopt;
        }
        value = value << 4 | static_cast<std::uint64_t>(d);
    }
    return value;
}

std::string_view take_field(std::string_view& text, std::string_view separators) {
    const std::size_t end = text.find_first_of(separators);
    const std::string_view field = text.substr(0, end);
    text.remove_prefix(end == text.npos ? text.size() : end + 1);
    return field;
}

} // namespace talus::sim::debug
