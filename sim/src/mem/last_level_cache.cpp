#include "last_level_cache.hpp"

#include <algorithm>
#include <bit>
#include <stdexcept>

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

LastLevelCache::LastLevelCache(const SramConfig& sram, std::uint64_t bytes)
    : line_bytes_(sram.slice_interleave_bytes), slices_(sram.slices), ways_(sram.llc_ways),
      misses_per_slice_(sram.llc_misses_per_slice), hash_(sram.slice_hash),
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
    lines_.resize(slices_ * sets_ * ways_);
    open_.resize(slices_);
}

LastLevelCache::Line* LastLevelCache::set_of(std::uint64_t block, std::uint32_t& slice) {
    slice = static_cast<std::uint32_t>(sram_slice(block, slices_, hash_));
    const std::uint64_t row =
        std::has_single_bit(slices_) ? block >> std::countr_zero(slices_) : block / slices_;
    const std::uint64_t set = std::has_single_bit(sets_) ? row & (sets_ - 1) : row % sets_;
    return &lines_[(slice * sets_ + set) * ways_];
}

LastLevelCache::Line* LastLevelCache::find(Line* set, std::uint64_t block) {
    Line* const line =
        std::find_if(set, set + ways_, [block](const Line& way) { return way.block == block; });
    return line == set + ways_ ? nullptr : line;
}

LastLevelCache::Line* LastLevelCache::victim(Line* set) {
    Line* oldest = nullptr;
    for (Line* line = set; line != set + ways_; ++line) {
        if (line->coming == 0 && (oldest == nullptr || line->used < oldest->used)) {
            oldest = line;
        }
    }
    return oldest;
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

std::uint32_t LastLevelCache::open_fill(Line& line, std::uint32_t slice, std::uint16_t sectors) {
    std::uint32_t fill = 0;
    if (free_fills_.empty()) {
        fill = static_cast<std::uint32_t>(fills_.size());
        fills_.emplace_back();
    } else {
        fill = free_fills_.back();
        free_fills_.pop_back();
    }
    fills_[fill].waiting.clear();
    fills_[fill].line = static_cast<std::uint64_t>(&line - lines_.data());
    fills_[fill].fetch = range_of(line.block, sectors);
    line.fill = fill;
    line.coming = sectors;
    ++open_[slice];
    return fill;
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
    std::uint32_t slice = 0;
    Line* const set = set_of(block, slice);
    Line* line = find(set, block);
    if (line != nullptr) {
        missing = static_cast<std::uint16_t>(missing & ~line->valid);
    }
    const bool on_its_way = line != nullptr && missing != 0 && (missing & ~line->coming) == 0;
    const bool asks = missing != 0 && !on_its_way;
    if (allocate == Allocate::kNo && (line == nullptr || asks)) {
        ++counters_.passed;
        return answer;
    }
    // A line has one fill at a time; sectors beside those that are coming go past the cache.
    if (asks && (open_[slice] >= misses_per_slice_ || (line != nullptr && line->coming != 0))) {
        ++(use == Use::kPrefetch ? counters_.dropped : counters_.passed);
        return answer;
    }
    if (line == nullptr) {
        line = victim(set);
        if (line == nullptr) {
            ++(use == Use::kPrefetch ? counters_.dropped : counters_.passed);
            return answer;
        }
        if (line->dirty != 0) {
            answer.write_backs = runs_of(line->block, line->dirty);
            ++counters_.write_backs;
        }
        *line = Line{};
        line->block = block;
        line->used = ++uses_;
    } else if (!first_in_first_out_) {
        line->used = ++uses_;
    }
    if (asks) {
        ++(use == Use::kPrefetch ? counters_.prefetches : counters_.misses);
        answer.fetch_for = open_fill(*line, slice, missing);
        answer.fetch = fills_[answer.fetch_for].fetch;
    } else if (use != Use::kPrefetch) {
        ++(on_its_way ? counters_.late_hits : counters_.hits);
    }
    if (use == Use::kWrite) {
        // Taken at once; a sector that is fetched is merged with it on arrival.
        line->valid = static_cast<std::uint16_t>(line->valid | (wanted & ~missing));
        line->dirty = static_cast<std::uint16_t>(line->dirty | wanted);
        answer.what = Answer::What::kHit;
    } else if (missing != 0) {
        answer.what = Answer::What::kWait;
        answer.fill = line->fill;
    } else {
        answer.what = Answer::What::kHit;
    }
    return answer;
}

const std::vector<std::uint32_t>& LastLevelCache::filled(std::uint32_t number) {
    Fill& fill = fills_[number];
    Line& line = lines_[fill.line];
    line.valid = static_cast<std::uint16_t>(line.valid | line.coming);
    line.coming = 0;
    --open_[fill.line / (sets_ * ways_)];
    free_fills_.push_back(number);
    return fill.waiting;
}

void LastLevelCache::discard(std::uint64_t offset, std::uint64_t bytes) {
    const std::uint64_t begin = (offset + kSector - 1) / kSector;
    const std::uint64_t end = (offset + bytes) / kSector;
    const std::uint64_t sectors = line_bytes_ / kSector;
    for (std::uint64_t sector = begin; sector < end;) {
        const std::uint64_t block = sector / sectors;
        const std::uint64_t next = std::min(end, (block + 1) * sectors);
        std::uint32_t slice = 0;
        if (Line* const line = find(set_of(block, slice), block)) {
            const auto mask = static_cast<std::uint16_t>((1u << (next - block * sectors)) -
                                                         (1u << (sector - block * sectors)));
            counters_.discarded += static_cast<unsigned>(
                std::popcount(static_cast<std::uint16_t>(line->dirty & mask)));
            line->dirty = static_cast<std::uint16_t>(line->dirty & ~mask);
            if (line->dirty == 0 && (line->valid & ~mask) == 0) {
                line->used = 0; // nothing else is in it
            }
        }
        sector = next;
    }
}

void LastLevelCache::forget(std::uint64_t offset, std::uint64_t bytes) {
    for (Line& line : lines_) {
        if (line.coming == 0 && line.block != kNoBlock &&
            line.block * line_bytes_ - offset < bytes) {
            line = Line{};
        }
    }
}

void LastLevelCache::reset() {
    std::fill(lines_.begin(), lines_.end(), Line{});
    std::fill(open_.begin(), open_.end(), 0u);
    fills_.clear();
    free_fills_.clear();
    uses_ = 0;
    counters_ = {};
}

} // namespace talus::sim
