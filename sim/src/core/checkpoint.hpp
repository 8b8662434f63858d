// A checkpoint: the state of a parked device in a file.
//
// Every class that has state says in one function, for both directions, what it consists of:
//
//   void Clint::checkpoint(Checkpoint& state) { state(msip_, compare_, ticks_); }
//
// Written are only things that outlast a moment in which nothing is under way: no event, no
// command, no transfer. Pointers, callbacks and caches of the host stay what the running process
// has.
//
// The file is a gzip stream (its checksum tells a damaged one): header, then named sections, each a
// sequence of little-endian values. It is read by the very version that wrote it, on the same ROM
// and configuration; it is trusted like a program.
//
// Not thread-safe.
#ifndef TALUS_SIM_CORE_CHECKPOINT_HPP
#define TALUS_SIM_CORE_CHECKPOINT_HPP

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

struct gzFile_s;

namespace talus::sim {

/// What is wrong with a checkpoint, and with which file.
class CheckpointError : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

/// What must be the same where a checkpoint is restored.
struct CheckpointIdentity {
    std::uint64_t contract = 0;               ///< TALUS_CONTRACT_HASH
    std::uint64_t rom = 0;                    ///< checkpoint_hash() of its contents
    std::vector<std::string> configuration{}; ///< "section.key = value", in a fixed order
};

class Checkpoint {
  public:
    enum class Direction : std::uint8_t { kSave, kRestore };

    /// Begins a file beside `path` (finish() moves it there), or opens `path` and compares its
    /// identity with `identity`. Throws CheckpointError.
    Checkpoint(Direction direction, const std::string& path, const CheckpointIdentity& identity);
    /// A file that was not finished is removed.
    ~Checkpoint();
    Checkpoint(const Checkpoint&) = delete;
    Checkpoint& operator=(const Checkpoint&) = delete;

    bool restoring() const { return restoring_; }

    /// What follows belongs to `name`.
    void section(std::string_view name);
    /// Saved: all is on the disk, under its name. Restored: all was read and nothing is left.
    void finish();

    /// Saves or restores each, in this order: numbers, enumerations, strings, standard containers,
    /// and what has a member checkpoint().
    template <class... T>
    void operator()(T&... values) {
        (value(values), ...);
    }
    /// Saves one that is told, or checks that the file says the same: `what` names it in the error.
    template <class T>
    void same(T expected, std::string_view what) {
        T read = expected;
        value(read);
        if (read != expected) {
            fail(std::string(what) + " differs");
        }
    }

    /// The bytes of a memory that may be large and mostly untouched: only 4 KiB pages that hold
    /// something are written; restored, the others must be zero already. `resident(offset)`: the
    /// offset of the first page at or behind `offset` that may hold something, or `bytes`.
    template <class Resident>
    void memory(std::uint8_t* data, std::uint64_t bytes, Resident resident) {
        if (restoring_) {
            restore_pages(data, bytes);
            return;
        }
        for (std::uint64_t offset = resident(std::uint64_t{0}); offset < bytes;
             offset = resident(offset + kPage)) {
            save_page(data, offset, bytes);
        }
        end_pages();
    }

    void bytes(void* data, std::size_t count);

  private:
    static constexpr std::uint64_t kPage = 4096;
    static constexpr std::uint64_t kLargestCount = std::uint64_t{1} << 32;

    template <class T>
    void value(T& item) {
        if constexpr (requires { item.checkpoint(*this); }) {
            item.checkpoint(*this);
        } else if constexpr (std::is_same_v<T, bool>) {
            auto byte = static_cast<std::uint8_t>(item);
            bytes(&byte, 1);
            item = byte != 0;
        } else {
            static_assert(std::is_arithmetic_v<T> || std::is_enum_v<T>,
                          "the type needs a member checkpoint()");
            bytes(&item, sizeof item);
        }
    }
    template <class T, std::size_t N>
    void value(std::array<T, N>& items) {
        if constexpr (std::is_arithmetic_v<T> && !std::is_same_v<T, bool>) {
            bytes(items.data(), sizeof items);
        } else {
            for (T& item : items) {
                value(item);
            }
        }
    }
    template <class T>
    void value(std::vector<T>& items) {
        items.resize(count(items.size()));
        if constexpr (std::is_arithmetic_v<T>) {
            bytes(items.data(), items.size() * sizeof(T));
        } else {
            for (T& item : items) {
                value(item);
            }
        }
    }
    template <class T>
    void value(std::deque<T>& items) {
        items.resize(count(items.size()));
        for (T& item : items) {
            value(item);
        }
    }
    void value(std::string& text) {
        text.resize(count(text.size()));
        bytes(text.data(), text.size());
    }
    /// In the order of their keys, so that equal states are equal files.
    template <class Key, class T>
    void value(std::unordered_map<Key, T>& items) {
        std::vector<Key> keys = sorted_keys(items);
        value(keys);
        if (restoring_) {
            items.clear();
        }
        for (const Key& key : keys) {
            value(items[key]);
        }
    }
    template <class Key>
    void value(std::unordered_set<Key>& items) {
        std::vector<Key> keys(items.begin(), items.end());
        sort(keys);
        value(keys);
        if (restoring_) {
            items = {keys.begin(), keys.end()};
        }
    }
    template <class Map>
    static std::vector<typename Map::key_type> sorted_keys(const Map& items) {
        std::vector<typename Map::key_type> keys;
        for (const auto& item : items) {
            keys.push_back(item.first);
        }
        sort(keys);
        return keys;
    }
    static void sort(std::vector<std::uint64_t>& keys);

    std::size_t count(std::size_t size);
    void save_page(const std::uint8_t* data, std::uint64_t offset, std::uint64_t bytes);
    void end_pages();
    void restore_pages(std::uint8_t* data, std::uint64_t bytes);
    void identify(const CheckpointIdentity& identity);
    [[noreturn]] void fail(const std::string& why) const;

    bool restoring_;
    std::string path_;
    std::string section_ = "header";
    std::string unfinished_; ///< the file being written, until finish()
    gzFile_s* file_ = nullptr;
};

/// FNV-1a, 64 bits.
std::uint64_t checkpoint_hash(const std::vector<std::uint8_t>& bytes);

} // namespace talus::sim

#endif
