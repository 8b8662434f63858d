#include "last_level_cache.hpp"

#include <algorithm>
#include <bit>
#include <stdexcept>
#include <utility>

namespace talus::sim {

std::uint64_t sram_slice(std::uint64_t block, std::uint64_t slices, bool hash) {
    if ((slices & (slices - 1)) == 0) {
        // The same without divisions, of which a packet would pay several.
        const std::uint64_t mask = slices - 1;
        const int digit = std::countr_zero(slices);
        std::uint64_t sum = block & mask;
        while (hash && slices > 1 && (block >>= digit) != 0) {
            sum += block & mask;
        }
        return sum & mask;
    }
    std::uint64_t sum = block % slices;
    while (hash && slices > 1 && block >= slices) {
        block /= slices;
        sum += block % slices;
    }
    return sum % slices;
}

LastLevelCache::LastLevelCache(const SramConfig& sram, std::uint64_t bytes, std::uint32_t last_use)
    : line_bytes_(sram.slice_interleave_bytes), slices_(sram.slices), ways_(sram.llc_ways),
      misses_per_slice_(sram.llc_misses_per_slice), last_use_(last_use), hash_(sram.slice_hash),
      first_in_first_out_(sram.llc_replacement == 1) {
    const std::uint64_t cache = sram.bytes - sram.scratch_bytes;
    if (cache == 0 || bytes == 0) {
        return;
    }
    sets_ = cache / (slices_ * ways_ * line_bytes_);
    if (line_bytes_ > 16 * kSector || sets_ == 0) {
        throw std::invalid_argument(
            "sram: what scratch_bytes leaves must be a set of llc_ways lines of "
            "slice_interleave_bytes (at most 1024) in each slice, or more");
    }
    if (bytes / line_bytes_ >= kNoBlock) {
        throw std::invalid_argument(
            "dram.bytes / sram.slice_interleave_bytes: the last-level cache "
            "numbers its blocks with 32 bits");
    }
    words_.resize(slices_ * sets_ * ways_ * 3);
    open_.resize(slices_);
    reset();
}

std::uint32_t LastLevelCache::set_of(std::uint64_t block) const {
    const std::uint64_t slice = sram_slice(block, slices_, hash_);
    const std::uint64_t row =
        std::has_single_bit(slices_) ? block >> std::countr_zero(slices_) : block / slices_;
    const std::uint64_t set = std::has_single_bit(sets_) ? row & (sets_ - 1) : row % sets_;
    return static_cast<std::uint32_t>(slice * sets_ + set);
}

std::uint32_t LastLevelCache::find(const Set& set, std::uint64_t block) const {
    const auto wanted = static_cast<std::uint32_t>(block);
    std::uint32_t found = 0;
    // At most one has it: a sum instead of an early end goes by several at a time.
    for (std::uint32_t way = 0; way < ways_; ++way) {
        found += set.block[way] == wanted ? way + 1 : 0;
    }
    return found - 1; // kNoWay
}

std::uint32_t LastLevelCache::victim(const Set& set) const {
    const std::uint32_t* const oldest = std::min_element(set.used, set.used + ways_);
    return *oldest >= kOnItsWay ? kNoWay : static_cast<std::uint32_t>(oldest - set.used);
}

void LastLevelCache::touch(const Set& set, std::uint32_t way) {
    if (uses_ == last_use_) {
        renumber();
    }
    used(set, way) = ++uses_;
}

/// The numbers of uses are at their end: each becomes its rank in its set.
void LastLevelCache::renumber() {
    std::vector<std::uint32_t*> order(ways_);
    for (std::uint32_t index = 0; index < slices_ * sets_; ++index) {
        for (std::uint32_t way = 0; way < ways_; ++way) {
            order[way] = &used(set(index), way);
        }
        std::stable_sort(order.begin(), order.end(),
                         [](const auto* x, const auto* y) { return *x < *y; });
        std::uint32_t before = *order.front();
        std::uint32_t rank = before == 0 ? 0 : 1; // 0: to be replaced before all that are used
        for (std::uint32_t* const used : order) {
            rank += std::exchange(before, *used) != *used ? 1 : 0;
            *used = rank;
        }
    }
    uses_ = ways_;
}

void LastLevelCache::expect(std::uint64_t offset) const {
    const std::uint32_t* const set = words(set_of(offset / line_bytes_));
    __builtin_prefetch(set, 1);
    __builtin_prefetch(set + ways_, 1);
    __builtin_prefetch(set + 2 * ways_, 1);
}

std::optional<std::uint32_t> LastLevelCache::expect_delivery(std::uint32_t fill) const {
    const Fill& over = fills_[fill];
    __builtin_prefetch(words(over.set) + ways_, 1);
    __builtin_prefetch(words(over.set) + 2 * ways_, 1);
    return over.first == kNobody ? std::nullopt : std::optional(over.first);
}

LastLevelCache::Range LastLevelCache::range_of(std::uint64_t block, std::uint16_t sectors) const {
    if (sectors == 0) {
        return {};
    }
    const auto first = static_cast<std::uint64_t>(std::countr_zero(sectors));
    const auto end = static_cast<std::uint64_t>(std::bit_width(sectors));
    return {block * line_bytes_ + first * kSector, (end - first) * kSector};
}

std::vector<LastLevelCache::Range> LastLevelCache::runs_of(std::uint64_t block,
                                                           std::uint16_t sectors) const {
    std::vector<Range> runs;
    while (sectors != 0) {
        const unsigned first = static_cast<unsigned>(std::countr_zero(sectors));
        const unsigned count =
            static_cast<unsigned>(std::countr_one(static_cast<std::uint16_t>(sectors >> first)));
        runs.push_back({block * line_bytes_ + first * kSector, count * kSector});
        sectors = static_cast<std::uint16_t>(sectors & ~(((1u << count) - 1) << first));
    }
    return runs;
}

std::uint32_t LastLevelCache::open_fill(std::uint32_t index, std::uint32_t way,
                                        std::uint16_t sectors) {
    std::uint32_t number = 0;
    if (free_fills_.empty()) {
        number = static_cast<std::uint32_t>(fills_.size());
        fills_.emplace_back();
    } else {
        number = free_fills_.back();
        free_fills_.pop_back();
    }
    const Set lines = set(index);
    Fill& fill = fills_[number];
    fill.set = index;
    fill.way = way;
    fill.fetch = range_of(lines.block[way], sectors);
    fill.used = std::exchange(lines.used[way], kOnItsWay + number);
    fill.coming = sectors;
    fill.first = kNobody;
    fill.others.clear();
    ++open_[slice_of(index)];
    return number;
}

void LastLevelCache::close_fill(std::uint32_t number) {
    const Fill& fill = fills_[number];
    const Set lines = set(fill.set);
    lines.sectors[fill.way] |= fill.coming;
    lines.used[fill.way] = fill.used;
    --open_[slice_of(fill.set)];
    free_fills_.push_back(number);
}

LastLevelCache::Answer LastLevelCache::access(const Range& range, Use use, Allocate allocate) {
    const std::uint64_t block = range.offset / line_bytes_;
    const std::uint64_t first = range.offset % line_bytes_ / kSector;
    const std::uint64_t last = (range.offset % line_bytes_ + range.bytes - 1) / kSector;
    const auto wanted = static_cast<std::uint16_t>((2u << last) - (1u << first));
    // Written sectors that need what DRAM has: the first and the last one, where they stick out.
    std::uint16_t missing = wanted;
    if (use == Use::kWrite) {
        const bool head = range.offset % kSector != 0;
        const bool tail = (range.offset + range.bytes) % kSector != 0;
        missing = static_cast<std::uint16_t>((head ? 1u << first : 0u) | (tail ? 1u << last : 0u));
    }

    Answer answer;
    const std::uint32_t index = set_of(block);
    const Set lines = set(index);
    std::uint32_t way = find(lines, block);
    std::uint16_t coming = 0;
    if (way != kNoWay) {
        missing = static_cast<std::uint16_t>(missing & ~lines.sectors[way]);
        const Fill* const fill = fill_of(lines, way);
        coming = fill == nullptr ? std::uint16_t{0} : fill->coming;
    }
    const bool on_its_way = missing != 0 && (missing & ~coming) == 0;
    const bool asks = missing != 0 && !on_its_way;
    if (allocate == Allocate::kNo && (way == kNoWay || asks)) {
        ++counters_.passed;
        return answer;
    }
    // A line has one fill at a time; sectors beside those that are coming go past the cache.
    if (asks && (open_[slice_of(index)] >= misses_per_slice_ || coming != 0)) {
        ++(use == Use::kPrefetch ? counters_.dropped : counters_.passed);
        return answer;
    }
    if (way == kNoWay) {
        way = victim(lines);
        if (way == kNoWay) {
            ++(use == Use::kPrefetch ? counters_.dropped : counters_.passed);
            return answer;
        }
        if (const auto dirty = static_cast<std::uint16_t>(lines.sectors[way] >> 16); dirty != 0) {
            answer.write_backs = runs_of(lines.block[way], dirty);
            ++counters_.write_backs;
        }
        if (listener_ != nullptr) [[unlikely]] {
            tell_eviction(lines, way);
        }
        lines.sectors[way] = 0;
        lines.block[way] = static_cast<std::uint32_t>(block);
        touch(lines, way);
    } else if (!first_in_first_out_) {
        touch(lines, way);
    }
    if (asks) {
        ++(use == Use::kPrefetch ? counters_.prefetches : counters_.misses);
        answer.fetch_for = open_fill(index, way, missing);
        answer.fetch = fills_[answer.fetch_for].fetch;
    } else if (use != Use::kPrefetch) {
        ++(on_its_way ? counters_.late_hits : counters_.hits);
    }
    if (use == Use::kWrite) {
        // Taken at once; a sector that is fetched is merged with it on arrival.
        lines.sectors[way] |= static_cast<std::uint32_t>(wanted & ~missing) |
                              static_cast<std::uint32_t>(wanted) << 16;
        answer.what = Answer::What::kHit;
    } else if (missing != 0) {
        answer.what = Answer::What::kWait;
        answer.fill = lines.used[way] - kOnItsWay;
    } else {
        answer.what = Answer::What::kHit;
    }
    return answer;
}

void LastLevelCache::tell_eviction(const Set& set, std::uint32_t way) {
    EvictionListener* const listener = listener_; // may have heard enough, and go
    const std::uint32_t dirty = set.sectors[way] >> 16;
    const std::uint32_t held = (set.sectors[way] | dirty) & 0xffff;
    for (std::uint32_t left = held; left != 0; left &= left - 1) {
        const auto sector = static_cast<unsigned>(std::countr_zero(left));
        listener->on_eviction({set.block[way] * line_bytes_ + sector * kSector, kSector},
                              (dirty >> sector & 1) != 0);
    }
}

bool LastLevelCache::holds(std::uint64_t offset) {
    if (!enabled()) {
        return false;
    }
    const Set lines = set(set_of(offset / line_bytes_));
    const std::uint32_t way = find(lines, offset / line_bytes_);
    return way != kNoWay && (lines.sectors[way] >> offset % line_bytes_ / kSector & 1) != 0;
}

std::optional<std::uint64_t> LastLevelCache::any_sector(std::uint64_t draw) {
    const std::uint64_t sectors = line_bytes_ / kSector;
    const std::uint64_t count = words_.size() / 3 * sectors;
    for (std::uint64_t i = 0; i < count; ++i) {
        const std::uint64_t place = (draw % count + i) % count;
        const std::uint64_t line = place / sectors;
        const Set lines = set(static_cast<std::uint32_t>(line / ways_));
        const auto way = static_cast<std::uint32_t>(line % ways_);
        if ((lines.sectors[way] >> place % sectors & 1) != 0) {
            return lines.block[way] * line_bytes_ + place % sectors * kSector;
        }
    }
    return std::nullopt;
}

void LastLevelCache::discard(std::uint64_t offset, std::uint64_t bytes) {
    const std::uint64_t begin = (offset + kSector - 1) / kSector;
    const std::uint64_t end = (offset + bytes) / kSector;
    const std::uint64_t sectors = line_bytes_ / kSector;
    for (std::uint64_t sector = begin; sector < end;) {
        const std::uint64_t block = sector / sectors;
        const std::uint64_t next = std::min(end, (block + 1) * sectors);
        const Set lines = set(set_of(block));
        if (const std::uint32_t way = find(lines, block); way != kNoWay) {
            const auto mask = static_cast<std::uint16_t>((1u << (next - block * sectors)) -
                                                         (1u << (sector - block * sectors)));
            std::uint32_t& state = lines.sectors[way];
            counters_.discarded += static_cast<unsigned>(std::popcount(state >> 16 & mask));
            state &= ~(std::uint32_t{mask} << 16);
            if (state >> 16 == 0 && (state & ~std::uint32_t{mask}) == 0) {
                used(lines, way) = 0; // nothing else is in it
            }
        }
        sector = next;
    }
}

void LastLevelCache::forget(std::uint64_t offset, std::uint64_t bytes) {
    for (std::uint32_t index = 0; index < slices_ * sets_; ++index) {
        const Set lines = set(index);
        for (std::uint32_t way = 0; way < ways_; ++way) {
            if (lines.used[way] < kOnItsWay && lines.block[way] != kNoBlock &&
                lines.block[way] * line_bytes_ - offset < bytes) {
                lines.block[way] = kNoBlock;
                lines.used[way] = 0;
                lines.sectors[way] = 0;
            }
        }
    }
}

void LastLevelCache::reset() {
    std::fill(words_.begin(), words_.end(), 0u);
    for (std::uint32_t index = 0; index < words_.size() / 3 / ways_; ++index) {
        std::fill_n(set(index).block, ways_, kNoBlock);
    }
    std::fill(open_.begin(), open_.end(), 0u);
    fills_.clear();
    free_fills_.clear();
    uses_ = 0;
    counters_ = {};
}

} // namespace talus::sim
