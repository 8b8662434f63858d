#include "checkpoint.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <unistd.h>
#include <zlib.h>

#include <fmt/format.h>

namespace talus::sim {

namespace {

constexpr std::uint64_t kMagic = 0x706b6373756c6174; // "talusckp"
constexpr std::uint32_t kVersion = 1;
constexpr std::uint64_t kNoMorePages = ~std::uint64_t{0};
constexpr unsigned kBuffer = 1u << 18;

} // namespace

std::uint64_t checkpoint_hash(const std::vector<std::uint8_t>& bytes) {
    std::uint64_t hash = 0xcbf29ce484222325;
    for (const std::uint8_t byte : bytes) {
        hash = (hash ^ byte) * 0x100000001b3;
    }
    return hash;
}

Checkpoint::Checkpoint(Direction direction, const std::string& path,
                       const CheckpointIdentity& identity)
    : restoring_(direction == Direction::kRestore), path_(path) {
    std::string name = path;
    if (!restoring_) {
        unfinished_ = name = fmt::format("{}.{}", path, getpid());
    }
    const int fd =
        open(name.c_str(),
             restoring_ ? O_RDONLY | O_CLOEXEC : O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) {
        unfinished_.clear();
        fail(std::strerror(errno));
    }
    file_ = gzdopen(fd, restoring_ ? "rb" : "wb1");
    if (file_ == nullptr) {
        close(fd);
        fail("out of memory");
    }
    gzbuffer(file_, kBuffer);
    try {
        identify(identity);
    } catch (...) {
        gzclose(file_);
        if (!unfinished_.empty()) {
            unlink(unfinished_.c_str());
        }
        throw;
    }
}

Checkpoint::~Checkpoint() {
    if (file_ != nullptr) {
        gzclose(file_);
    }
    if (!unfinished_.empty()) {
        unlink(unfinished_.c_str());
    }
}

void Checkpoint::fail(const std::string& why) const {
    throw CheckpointError(restoring_
                              ? fmt::format("checkpoint {}: {}", path_, why)
                              : fmt::format("checkpoint {} cannot be written: {}", path_, why));
}

void Checkpoint::identify(const CheckpointIdentity& identity) {
    std::uint64_t magic = kMagic;
    std::uint32_t version = kVersion;
    bytes(&magic, sizeof magic);
    if (magic != kMagic) {
        fail("not a checkpoint of talus-sim");
    }
    bytes(&version, sizeof version);
    CheckpointIdentity read = identity;
    (*this)(read.contract, read.rom, read.configuration);
    if (version != kVersion || read.contract != identity.contract) {
        fail("made by another version of talus-sim; make it anew");
    }
    if (read.rom != identity.rom) {
        fail("made with another boot ROM; make it anew");
    }
    const auto [there, here] =
        std::mismatch(read.configuration.begin(), read.configuration.end(),
                      identity.configuration.begin(), identity.configuration.end());
    if (there != read.configuration.end() || here != identity.configuration.end()) {
        fail(fmt::format("made with {}, but the configuration says {}",
                         there != read.configuration.end() ? *there : "fewer keys",
                         here != identity.configuration.end() ? *here : "less"));
    }
}

void Checkpoint::section(std::string_view name) {
    section_ = name;
    std::string read(name);
    value(read);
    if (read != name) {
        fail(fmt::format("section '{}' where '{}' belongs: made by another version of talus-sim",
                         read.substr(0, 40), name));
    }
}

void Checkpoint::bytes(void* data, std::size_t count) {
    auto* next = static_cast<std::uint8_t*>(data);
    while (count != 0) {
        const auto part = static_cast<unsigned>(std::min<std::size_t>(count, 1u << 30));
        const int done = restoring_ ? gzread(file_, next, part) : gzwrite(file_, next, part);
        if (done != static_cast<int>(part)) {
            int error = Z_OK;
            const char* text = gzerror(file_, &error);
            fail(restoring_         ? fmt::format("damaged or cut short in section '{}'", section_)
                 : error == Z_ERRNO ? std::strerror(errno)
                                    : text);
        }
        next += part;
        count -= part;
    }
}

std::size_t Checkpoint::count(std::size_t size) {
    std::uint64_t number = size;
    bytes(&number, sizeof number);
    if (number > kLargestCount) {
        fail(fmt::format("damaged in section '{}'", section_));
    }
    return number;
}

void Checkpoint::sort(std::vector<std::uint64_t>& keys) {
    std::sort(keys.begin(), keys.end());
}

void Checkpoint::save_page(const std::uint8_t* data, std::uint64_t offset, std::uint64_t bytes) {
    const auto len = static_cast<std::size_t>(std::min(kPage, bytes - offset));
    const std::uint8_t* page = data + offset;
    if (page[0] == 0 && std::memcmp(page, page + 1, len - 1) == 0) {
        return;
    }
    this->bytes(&offset, sizeof offset);
    this->bytes(const_cast<std::uint8_t*>(page), len);
}

void Checkpoint::end_pages() {
    std::uint64_t end = kNoMorePages;
    bytes(&end, sizeof end);
}

void Checkpoint::restore_pages(std::uint8_t* data, std::uint64_t bytes) {
    for (;;) {
        std::uint64_t offset = 0;
        this->bytes(&offset, sizeof offset);
        if (offset == kNoMorePages) {
            return;
        }
        if (offset % kPage != 0 || offset >= bytes) {
            fail(fmt::format("damaged in section '{}'", section_));
        }
        this->bytes(data + offset, static_cast<std::size_t>(std::min(kPage, bytes - offset)));
    }
}

void Checkpoint::finish() {
    if (restoring_) {
        char more = 0;
        const int left = gzread(file_, &more, 1);                  // reads and checks the checksum
        const int closed = gzclose(std::exchange(file_, nullptr)); // tells of one that is missing
        if (left != 0 || closed != Z_OK) {
            fail("damaged or cut short at its end");
        }
        return;
    }
    const int closed = gzclose(std::exchange(file_, nullptr));
    if (closed != Z_OK || std::rename(unfinished_.c_str(), path_.c_str()) != 0) {
        fail(std::strerror(errno));
    }
    unfinished_.clear();
}

} // namespace talus::sim
