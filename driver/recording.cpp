#include "recording.hpp"

#include "error.hpp"

#include <array>
#include <cerrno>
#include <cinttypes>
#include <cstring>
#include <fstream>
#include <sstream>
#include <type_traits>

namespace talus::driver {
namespace {

// Longer writes (the boot image) are kept as their length and a hash.
constexpr std::size_t kKeptBytes = 4096;
constexpr const char* kMagic = "talus-recording 1";

std::string hex(std::uint64_t value) {
    std::array<char, 20> text{};
    std::snprintf(text.data(), text.size(), "%" PRIx64, value);
    return text.data();
}

std::string hex(std::span<const std::byte> data) {
    static constexpr char kDigits[] = "0123456789abcdef";
    std::string text;
    text.reserve(2 * data.size());
    for (const std::byte byte : data) {
        text += kDigits[static_cast<unsigned>(byte) >> 4];
        text += kDigits[static_cast<unsigned>(byte) & 0xf];
    }
    return text;
}

// FNV-1a, 64 bits.
std::uint64_t hash(std::span<const std::byte> data) {
    std::uint64_t value = 0xcbf29ce484222325;
    for (const std::byte byte : data)
        value = (value ^ static_cast<std::uint64_t>(byte)) * 0x100000001b3;
    return value;
}

std::string content(std::span<const std::byte> data) {
    if (data.size() <= kKeptBytes)
        return hex(data);
    return std::string("hash:").append(hex(hash(data)));
}

template <typename... Arguments>
std::string join(const char* operation, const Arguments&... arguments) {
    std::string text = operation;
    (text.append(" ").append(arguments), ...);
    return text;
}

// What is read and written, as one line has it; recorder and player must agree.
std::string config_read_text(std::uint32_t offset, std::size_t bytes) {
    return join("config_read", hex(offset), hex(bytes));
}
std::string config_write_text(std::uint32_t offset, std::span<const std::byte> data) {
    return join("config_write", hex(offset), hex(data));
}
std::string bar_text(const char* operation, int bar, std::uint64_t offset) {
    return join(operation, hex(static_cast<std::uint64_t>(bar)), hex(offset));
}

bool parse_hex(const std::string& text, std::span<std::byte> data) {
    if (text.size() != 2 * data.size())
        return false;
    for (std::size_t i = 0; i < data.size(); ++i) {
        unsigned value = 0;
        if (std::sscanf(text.c_str() + 2 * i, "%2x", &value) != 1)
            return false;
        data[i] = static_cast<std::byte>(value);
    }
    return true;
}

} // namespace

// ---- Recording ----

RecordingTransport::RecordingTransport(std::unique_ptr<Transport> inner, const std::string& path)
    : file_(std::fopen(path.c_str(), "we")), began_(std::chrono::steady_clock::now()),
      inner_(std::move(inner)) {
    if (file_ == nullptr)
        throw system_error("cannot record to " + path, errno);
    std::fprintf(file_, "%s %s\n", kMagic, inner_->kind());
    for (int bar = 0; bar < 6; ++bar)
        std::fprintf(file_, "0 bar_size %d = %s\n", bar, hex(inner_->bar_size(bar)).c_str());
    std::fprintf(file_, "0 irq_count = %s\n", hex(std::uint64_t{inner_->irq_count()}).c_str());
    inner_->observe_dma([this](std::uint64_t iova, std::span<const std::byte> data) {
        write(join("dma_write", hex(iova), hex(data)));
    });
}

RecordingTransport::~RecordingTransport() {
    inner_.reset();
    std::fclose(file_);
}

void RecordingTransport::write(const std::string& line) {
    const auto now = std::chrono::duration_cast<std::chrono::microseconds>(
        std::chrono::steady_clock::now() - began_);
    const std::lock_guard lock(mutex_);
    std::fprintf(file_, "%lld %s\n", static_cast<long long>(now.count()), line.c_str());
}

template <typename Operation>
auto RecordingTransport::record(const std::string& what, Operation&& operation) {
    try {
        if constexpr (std::is_void_v<decltype(operation())>) {
            operation();
            write(what);
        } else {
            auto result = operation();
            if constexpr (std::is_same_v<decltype(result), std::string>)
                write(what + " = " + result);
            else
                write(what + " = " + hex(static_cast<std::uint64_t>(result)));
            return result;
        }
    } catch (const Error& error) {
        write(what + " ! " + error.what());
        std::fflush(file_); // likely the last thing that is worth knowing
        throw;
    }
}

void RecordingTransport::config_read(std::uint32_t offset, std::span<std::byte> data) {
    record(config_read_text(offset, data.size()), [&] {
        inner_->config_read(offset, data);
        return hex(data);
    });
}

void RecordingTransport::config_write(std::uint32_t offset, std::span<const std::byte> data) {
    record(config_write_text(offset, data), [&] { inner_->config_write(offset, data); });
}

std::uint32_t RecordingTransport::bar_read32(int bar, std::uint64_t offset) {
    return record(bar_text("bar_read32", bar, offset),
                  [&] { return inner_->bar_read32(bar, offset); });
}

std::uint64_t RecordingTransport::bar_read64(int bar, std::uint64_t offset) {
    return record(bar_text("bar_read64", bar, offset),
                  [&] { return inner_->bar_read64(bar, offset); });
}

void RecordingTransport::bar_write32(int bar, std::uint64_t offset, std::uint32_t value) {
    record(join(bar_text("bar_write32", bar, offset).c_str(), hex(std::uint64_t{value})),
           [&] { inner_->bar_write32(bar, offset, value); });
}

void RecordingTransport::bar_write64(int bar, std::uint64_t offset, std::uint64_t value) {
    record(join(bar_text("bar_write64", bar, offset).c_str(), hex(value)),
           [&] { inner_->bar_write64(bar, offset, value); });
}

void RecordingTransport::bar_read(int bar, std::uint64_t offset, std::span<std::byte> data) {
    record(join(bar_text("bar_read", bar, offset).c_str(), hex(data.size())), [&] {
        inner_->bar_read(bar, offset, data);
        return hex(data);
    });
}

void RecordingTransport::bar_write(int bar, std::uint64_t offset, std::span<const std::byte> data) {
    record(join(bar_text("bar_write", bar, offset).c_str(), hex(data.size()), content(data)),
           [&] { inner_->bar_write(bar, offset, data); });
}

void RecordingTransport::dma_map(std::uint64_t iova, std::uint64_t bytes, void* pointer, int fd) {
    record(join("dma_map", hex(iova), hex(bytes)),
           [&] { inner_->dma_map(iova, bytes, pointer, fd); });
}

void RecordingTransport::dma_unmap(std::uint64_t iova, std::uint64_t bytes) {
    record(join("dma_unmap", hex(iova), hex(bytes)), [&] { inner_->dma_unmap(iova, bytes); });
}

void RecordingTransport::irq_set(std::uint32_t vector, int eventfd) {
    record(join("irq_set", hex(std::uint64_t{vector}), eventfd >= 0 ? "on" : "off"),
           [&] { inner_->irq_set(vector, eventfd); });
    const std::lock_guard lock(vectors_mutex_);
    if (eventfd >= 0)
        vectors_[eventfd] = vector;
}

void RecordingTransport::reset() {
    record("reset", [&] { inner_->reset(); });
}

bool RecordingTransport::hot_reset() {
    // A device that is not reset does not see the question either.
    if (!inner_->hot_reset())
        return false;
    record("hot_reset", [] {});
    return true;
}

bool RecordingTransport::wait(int eventfd, std::chrono::milliseconds timeout) {
    std::string vector = "-";
    {
        const std::lock_guard lock(vectors_mutex_);
        if (const auto found = vectors_.find(eventfd); found != vectors_.end())
            vector = hex(std::uint64_t{found->second});
    }
    return record(join("wait", vector), [&] { return inner_->wait(eventfd, timeout); });
}

// ---- Replay ----

ReplayTransport::ReplayTransport(const std::string& path) : path_(path) {
    std::ifstream file(path);
    if (!file)
        throw Error(TALUS_DRV_NOT_FOUND, "cannot read the recording " + path);
    std::string text;
    std::getline(file, text);
    if (text.rfind(kMagic, 0) != 0)
        throw Error(TALUS_DRV_PROTOCOL, path + " is no recording of this driver");
    for (std::size_t number = 2; std::getline(file, text); ++number)
        parse(text, number);
}

void ReplayTransport::parse(const std::string& text, std::size_t number) {
    Event event;
    event.line = number;
    const std::size_t start = text.find(' ');
    if (start == std::string::npos)
        throw Error(TALUS_DRV_PROTOCOL, path_ + ", line " + std::to_string(number) + " is cut off");
    const std::size_t equals = text.find(" = ", start);
    const std::size_t error = text.find(" ! ", start);
    event.what = text.substr(start + 1, std::min(equals, error) - start - 1);
    event.has_result = equals != std::string::npos && equals < error;
    if (event.has_result)
        event.result = text.substr(equals + 3);
    std::istringstream fields(event.what);
    std::string operation;
    fields >> operation;
    if (operation == "bar_size") {
        std::size_t bar = 0;
        fields >> bar;
        bar_sizes_.at(std::min<std::size_t>(bar, 5)) = std::stoull(event.result, nullptr, 16);
        return;
    }
    if (operation == "irq_count") {
        irq_count_ = static_cast<std::uint32_t>(std::stoul(event.result, nullptr, 16));
        return;
    }
    event.deed = !event.has_result && operation != "dma_write";
    events_.push_back(std::move(event));
}

void ReplayTransport::diverge(const Event* event, const std::string& what) const {
    throw Error(TALUS_DRV_PROTOCOL,
                "the replay of " + path_ + " has left the recording: " +
                    (event == nullptr ? std::string("it ended")
                                      : "line " + std::to_string(event->line) + " is \"" +
                                            event->what.substr(0, 100) + "\"") +
                    ", the driver does \"" + what.substr(0, 100) + "\"");
}

void ReplayTransport::apply(const Event& event) {
    std::istringstream fields(event.what);
    std::string operation;
    std::string bytes;
    std::uint64_t iova = 0;
    fields >> operation >> std::hex >> iova >> bytes;
    auto range = dma_.upper_bound(iova);
    if (range == dma_.begin())
        diverge(&event, "nothing is mapped there");
    --range;
    const std::uint64_t offset = iova - range->first;
    const std::uint64_t length = bytes.size() / 2;
    if (offset > range->second.bytes || length > range->second.bytes - offset)
        diverge(&event, "nothing is mapped there");
    if (!parse_hex(bytes, {range->second.pointer + offset, length}))
        diverge(&event, "its bytes are no hexadecimal");
}

// A look: answered by the next recorded one of its kind before the next deed, with what the device
// wrote on the way; else by the last answer.
std::string ReplayTransport::look(const std::string& what) {
    const std::lock_guard lock(mutex_);
    for (std::size_t i = next_; i < events_.size() && !events_[i].deed; ++i) {
        if (events_[i].what != what)
            continue;
        for (; next_ < i; ++next_)
            if (!events_[next_].has_result)
                apply(events_[next_]);
            else
                last_[events_[next_].what] = events_[next_].result;
        ++next_;
        return last_[what] = events_[i].result;
    }
    const auto last = last_.find(what);
    if (last == last_.end())
        diverge(next_ < events_.size() ? &events_[next_] : nullptr, what);
    return last->second;
}

void ReplayTransport::act(const std::string& what) {
    const std::lock_guard lock(mutex_);
    for (; next_ < events_.size() && !events_[next_].deed; ++next_)
        if (!events_[next_].has_result)
            apply(events_[next_]);
        else
            last_[events_[next_].what] = events_[next_].result;
    if (next_ == events_.size() || events_[next_].what != what)
        diverge(next_ < events_.size() ? &events_[next_] : nullptr, what);
    ++next_;
}

void ReplayTransport::read_bytes(const std::string& what, std::span<std::byte> data) {
    if (!parse_hex(look(what), data))
        diverge(nullptr, what);
}

void ReplayTransport::config_read(std::uint32_t offset, std::span<std::byte> data) {
    read_bytes(config_read_text(offset, data.size()), data);
}

void ReplayTransport::config_write(std::uint32_t offset, std::span<const std::byte> data) {
    act(config_write_text(offset, data));
}

std::uint32_t ReplayTransport::bar_read32(int bar, std::uint64_t offset) {
    return static_cast<std::uint32_t>(
        std::stoul(look(bar_text("bar_read32", bar, offset)), nullptr, 16));
}

std::uint64_t ReplayTransport::bar_read64(int bar, std::uint64_t offset) {
    return std::stoull(look(bar_text("bar_read64", bar, offset)), nullptr, 16);
}

void ReplayTransport::bar_write32(int bar, std::uint64_t offset, std::uint32_t value) {
    act(join(bar_text("bar_write32", bar, offset).c_str(), hex(std::uint64_t{value})));
}

void ReplayTransport::bar_write64(int bar, std::uint64_t offset, std::uint64_t value) {
    act(join(bar_text("bar_write64", bar, offset).c_str(), hex(value)));
}

void ReplayTransport::bar_read(int bar, std::uint64_t offset, std::span<std::byte> data) {
    read_bytes(join(bar_text("bar_read", bar, offset).c_str(), hex(data.size())), data);
}

void ReplayTransport::bar_write(int bar, std::uint64_t offset, std::span<const std::byte> data) {
    act(join(bar_text("bar_write", bar, offset).c_str(), hex(data.size()), content(data)));
}

void ReplayTransport::dma_map(std::uint64_t iova, std::uint64_t bytes, void* pointer, int) {
    act(join("dma_map", hex(iova), hex(bytes)));
    const std::lock_guard lock(mutex_);
    dma_[iova] = {bytes, static_cast<std::byte*>(pointer)};
}

void ReplayTransport::dma_unmap(std::uint64_t iova, std::uint64_t bytes) {
    {
        const std::lock_guard lock(mutex_);
        dma_.erase(iova);
    }
    act(join("dma_unmap", hex(iova), hex(bytes)));
}

void ReplayTransport::irq_set(std::uint32_t vector, int eventfd) {
    act(join("irq_set", hex(std::uint64_t{vector}), eventfd >= 0 ? "on" : "off"));
}

void ReplayTransport::reset() {
    act("reset");
}

// Time does not pass here: a wait brings what the device did until the recorded one ended.
bool ReplayTransport::wait(int, std::chrono::milliseconds) {
    const std::lock_guard lock(mutex_);
    bool news = false;
    for (; next_ < events_.size() && !events_[next_].deed; ++next_) {
        const Event& event = events_[next_];
        if (!event.has_result) {
            apply(event);
            news = true;
        } else if (event.what.rfind("wait ", 0) == 0) {
            ++next_;
            return event.result == "1";
        } else {
            return news; // a look that the driver is about to take
        }
    }
    return news;
}

} // namespace talus::driver
