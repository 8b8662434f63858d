#include "data_caches.hpp"

#include <algorithm>
#include <bit>
#include <stdexcept>

namespace talus::sim {

DataCaches::DataCaches(unsigned harts, unsigned control_harts, Geometry geometry)
    : control_harts_(control_harts), counters_(harts) {
    if (geometry.bytes == 0) {
        return;
    }
    const std::uint64_t per_way = geometry.ways == 0 ? 0 : geometry.bytes / geometry.ways;
    if (per_way * geometry.ways != geometry.bytes || per_way % kLine != 0 ||
        !std::has_single_bit(per_way)) {
        throw std::invalid_argument("hart.dcache_bytes / hart.dcache_ways is not a power of two of "
                                    "at least 64 bytes");
    }
    sets_ = static_cast<unsigned>(per_way / kLine);
    ways_ = geometry.ways;
    lines_.resize(std::size_t{harts} * sets_ * ways_);
}

void DataCaches::reset() {
    std::ranges::fill(lines_, Line{});
    std::ranges::fill(counters_, DataCacheCounters{});
    holders_.clear();
    pages_.clear();
    bounds_ = {};
    accesses_ = 0;
}

void DataCaches::reset(HartId hart) {
    const std::size_t size = std::size_t{sets_} * ways_;
    for (std::size_t i = 0; i < size; ++i) {
        Line& line = lines_[hart * size + i];
        if (line.addr != Line{}.addr) {
            drop(hart, line);
        }
    }
}

void DataCaches::forget(std::uint64_t addr, std::uint64_t len) {
    for_others(kNoHart, addr, len, [&](HartId holder, Line& line) {
        drop(holder, line);
        return true;
    });
}

DataCaches::Line* DataCaches::find(HartId hart, std::uint64_t line) {
    Line* set = set_of(hart, line);
    for (unsigned way = 0; way < ways_; ++way) {
        if (set[way].addr == line) {
            return &set[way];
        }
    }
    return nullptr;
}

void DataCaches::drop(HartId hart, Line& line) {
    const auto holders = holders_.find(line.addr);
    std::erase(holders->second, hart);
    if (holders->second.empty()) {
        holders_.erase(holders);
    }
    const auto page = pages_.find(line.addr / kPage);
    if (--page->second == 0) {
        pages_.erase(page);
    }
    line = Line{};
}

bool DataCaches::tell(Incoherence::Kind kind, HartId who, HartId holder, std::uint64_t line) {
    if (listener_ != nullptr) {
        listener_->on_incoherence({kind, who, holder, line});
    }
    return false;
}

void DataCaches::write_back(Access& result, HartId hart, Line& line) {
    result.write_backs.at(result.write_back_count++) = {hart, line.addr};
    ++counters_[hart].write_backs;
    line.dirty = false;
}

template <class F>
void DataCaches::for_others(HartId who, std::uint64_t addr, std::uint64_t len, F f) {
    if (len == 0 || !may_hold(addr, len)) {
        return;
    }
    const std::uint64_t first = addr & ~(kLine - 1), last = addr + (len - 1);
    for (std::uint64_t page = addr / kPage; page <= last / kPage; ++page) {
        if (!pages_.contains(page)) {
            continue;
        }
        const std::uint64_t end = std::min(last, page * kPage + (kPage - 1));
        for (std::uint64_t line = std::max(first, page * kPage); line <= end; line += kLine) {
            const auto found = holders_.find(line);
            if (found == holders_.end()) {
                continue;
            }
            const std::vector<HartId> holders = found->second; // f may drop some
            for (const HartId holder : holders) {
                if ((who == kNoHart || group(holder) != group(who)) &&
                    !f(holder, *find(holder, line))) {
                    return;
                }
            }
        }
    }
}

bool DataCaches::check(HartId who, std::uint64_t addr, std::uint64_t len, bool write) {
    bool ok = true;
    for_others(who, addr, len, [&](HartId holder, const Line& line) {
        if (line.dirty) {
            ok = tell(write ? Incoherence::Kind::kDirtyWrite : Incoherence::Kind::kDirtyRead, who,
                      holder, line.addr);
        }
        return ok;
    });
    return ok;
}

void DataCaches::written(HartId who, std::uint64_t addr, std::uint64_t len) {
    for_others(who, addr, len, [&](HartId holder, Line& line) {
        if (line.dirty && !line.stale) {
            tell(Incoherence::Kind::kDirtyWrite, who, holder, line.addr);
        }
        line.stale = true;
        return true;
    });
}

DataCaches::Access DataCaches::access(HartId hart, std::uint64_t addr, bool store) {
    Access result;
    Line* line = find(hart, addr);
    if (line != nullptr && line->stale) {
        result.ok = tell(Incoherence::Kind::kStale, hart, hart, addr);
        return result;
    }
    if ((store || line == nullptr) && !check(hart, addr, 1, store)) {
        result.ok = false;
        return result;
    }
    if (line != nullptr) {
        ++counters_[hart].hits;
        result.ready = line->ready;
    } else {
        ++counters_[hart].misses;
        result.fill = true;
        Line* set = set_of(hart, addr);
        line = std::min_element(set, set + ways_,
                                [](const Line& a, const Line& b) { return a.used < b.used; });
        if (line->dirty) {
            write_back(result, hart, *line);
        }
        if (line->addr != Line{}.addr) {
            drop(hart, *line);
        }
        line->addr = addr;
        holders_[addr].push_back(hart);
        ++pages_[addr / kPage];
        Bounds& bounds = bounds_[is_dram(addr)];
        bounds.first = std::min(bounds.first, addr);
        bounds.last = std::max(bounds.last, addr + (kLine - 1));
    }
    line->used = ++accesses_;
    line->dirty = line->dirty || store;
    if (hart < control_harts_) { // the coherent ones give way: to a store with the whole line
        for (HartId other = 0; other < control_harts_; ++other) {
            Line* copy = other == hart ? nullptr : find(other, addr);
            if (copy == nullptr) {
                continue;
            }
            if (copy->dirty) {
                write_back(result, other, *copy);
            }
            if (store) {
                drop(other, *copy);
            }
        }
    }
    return result;
}

void DataCaches::filled(HartId hart, std::uint64_t addr, Cycle when) {
    if (Line* line = find(hart, addr)) {
        line->ready = when;
    }
}

DataCaches::Access DataCaches::block(HartId hart, CboOp op, std::uint64_t addr) {
    Access result;
    const HartId first = hart < control_harts_ ? 0 : hart;
    const HartId end = hart < control_harts_ ? control_harts_ : hart + 1;
    for (HartId member = first; member < end; ++member) {
        Line* line = find(member, addr);
        if (line == nullptr) {
            continue;
        }
        if (line->dirty && op == CboOp::kInval) {
            result.ok = tell(Incoherence::Kind::kDiscarded, hart, member, addr);
        } else if (line->dirty) {
            write_back(result, member, *line);
        }
        if (op != CboOp::kClean) {
            drop(member, *line);
        }
    }
    return result;
}

DataCaches::Access DataCaches::bypass(HartId hart, std::uint64_t addr) {
    Access result = block(hart, CboOp::kFlush, addr);
    result.ok = check(hart, addr, 1, true);
    return result;
}

} // namespace talus::sim
