#include "crossbars.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace talus::sim {

Crossbars::Crossbars(const Config& config)
    : sides_(config.noc.sides), rows_(config.grid.rows), cols_(config.grid.cols) {
    for (std::uint32_t row = 0; row < rows_; ++row) {
        for (std::uint32_t col = 0; col < cols_; ++col) {
            roads_.push_back({col + 1, row});
            roads_.push_back({cols_ - col, rows_ + row});
            roads_.push_back({row + 1, 2 * rows_ + col});
            roads_.push_back({rows_ - row, 2 * rows_ + cols_ + col});
        }
    }
    const Link row(config.noc.row_link_bytes_per_clock);
    const Link column(config.noc.column_link_bytes_per_clock);
    links_.assign(2 * rows_, {row, row});
    links_.insert(links_.end(), 2 * cols_, {column, column});
    counters_.resize(links_.size());
}

std::string Crossbars::name(std::uint32_t link) const {
    if (link < 2 * rows_) {
        return fmt::format("{} row {}", link < rows_ ? "left" : "right", link % rows_);
    }
    const std::uint32_t at = link - 2 * rows_;
    return fmt::format("{} column {}", at < cols_ ? "top" : "bottom", at % cols_);
}

Cycle Crossbars::pass(Cycle now, Cycle at, std::uint32_t number, Direction direction,
                      std::uint64_t bytes, Cycle spread) {
    Link& link = links_[number][static_cast<std::size_t>(direction)];
    Counters& counters = counters_[number][static_cast<std::size_t>(direction)];
    ++counters.packets;
    counters.bytes += bytes;
    if (link.width == 0) {
        return at;
    }
    const Cycle cost = link.calendar.clocks(bytes);
    const Cycle first = at - std::min({cost, spread, at - now});
    const Cycle idle = std::max(at, first + cost);
    const Cycle done = std::max(idle, link.calendar.reserve(now, first, bytes));
    counters.wait_clocks += done - idle;
    return done;
}

void Crossbars::reset() {
    for (std::array<Link, 2>& both : links_) {
        for (Link& link : both) {
            link.calendar.reset();
        }
    }
    counters_.assign(links_.size(), {});
}

void Crossbars::rebase(Cycle now) {
    for (std::array<Link, 2>& both : links_) {
        for (Link& link : both) {
            link.calendar.restart(now);
        }
    }
}

} // namespace talus::sim
