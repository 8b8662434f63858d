#include "dram_channel.hpp"

#include <algorithm>
#include <stdexcept>

namespace talus::sim {

namespace {

constexpr unsigned kAcceptedPerClock = 2;

constexpr std::size_t at(DramCommand command) {
    return static_cast<std::size_t>(command);
}

enum RefreshMode : std::uint32_t { kNoRefresh, kAllBank, kPerBank };

} // namespace

DramChannel::DramChannel(const DramConfig& dram)
    : dram_(dram), table_(lpddr5_constraints(dram)),
      banks_per_rank_(dram.bank_groups * dram.banks_per_group) {
    restart();
}

void DramChannel::restart() {
    channel_ready_.fill(0);
    ranks_.assign(dram_.ranks, Rank{});
    groups_.assign(std::size_t{dram_.ranks} * dram_.bank_groups, Ready{});
    banks_.assign(std::size_t{dram_.ranks} * banks_per_rank_, Bank{});
    for (std::uint32_t index = 0; index < banks_.size(); ++index) {
        banks_[index].rank = index / banks_per_rank_;
        banks_[index].group = index / dram_.banks_per_group;
    }
    inbound_.clear();
    inbound_writes_ = 0;
    requests_.clear();
    free_requests_.clear();
    reads_ = {};
    writes_ = {};
    activating_.clear();
    active_.clear();
    refresh_queue_.clear();
    write_mode_ = false;
    clock_ = 0;
    accept_at_ = 0;
    accepted_in_ = 0;
    next_decision_ = kNever;
    refresh_bank_ = 0;
    next_refresh_ = dram_.refresh == kAllBank   ? DramClock{dram_.nrefi}
                    : dram_.refresh == kPerBank ? DramClock{dram_.nrefipb}
                                                : kNever;
}

// --- arrival -------------------------------------------------------------------------------------

void DramChannel::push(const DramRun& run) {
    std::uint32_t index = 0;
    if (free_requests_.empty()) {
        index = static_cast<std::uint32_t>(requests_.size());
        requests_.emplace_back();
    } else {
        index = free_requests_.back();
        free_requests_.pop_back();
    }
    const std::uint32_t bank =
        (run.rank * dram_.bank_groups + run.group) * dram_.banks_per_group + run.bank;
    if (bank >= banks_.size() || run.bursts == 0) {
        throw std::logic_error("DRAM run outside the channel");
    }
    requests_[index] = {run, bank, 0, run.bursts, 0, 0};
    inbound_writes_ += run.write ? 1 : 0;
    auto place = inbound_.end();
    while (place != inbound_.begin() && requests_[*(place - 1)].run.arrival > run.arrival) {
        --place;
    }
    if (run.arrival + 1 < clock_ ||
        (place != inbound_.end() && place == inbound_.begin() && requests_[*place].accepted != 0)) {
        throw std::logic_error("DRAM run arrives in the past");
    }
    inbound_.insert(place, index);
    next_decision_ = std::min(next_decision_, run.arrival + 1);
}

/// A burst of a write still in the queue: a read is answered from it, a write replaces it.
bool DramChannel::forwarded(const Request& request, std::uint32_t column) const {
    return std::any_of(writes_.entries.begin(), writes_.entries.end(), [&](const Entry& entry) {
        return entry.bank == request.bank && entry.row == request.run.row &&
               column - entry.column < entry.waiting;
    });
}

void DramChannel::burst_done(std::uint32_t index, DramClock finished) {
    Request& request = requests_[index];
    request.finished = std::max(request.finished, finished);
    if (--request.left == 0) {
        const auto what =
            request.run.write ? DramRunDone::What::kWritten : DramRunDone::What::kRead;
        done_->push_back({request.run.tag, what, request.accepted_at, request.finished});
        free_requests_.push_back(index);
    }
}

void DramChannel::accept_burst(DramClock when) {
    const std::uint32_t index = inbound_.front();
    Request& request = requests_[index];
    const bool write = request.run.write;
    if (request.accepted == 0) {
        request.accepted_at = when;
    }
    const std::uint32_t column = request.run.column + request.accepted;
    const bool last = ++request.accepted == request.run.bursts;
    if (last) {
        inbound_.pop_front();
        inbound_writes_ -= write ? 1 : 0;
        if (write) {
            done_->push_back(
                {request.run.tag, DramRunDone::What::kAccepted, request.accepted_at, when + 1});
        }
    }
    if (forwarded(request, column)) {
        ++counters_.forwarded;
        burst_done(index, when + 1);
        return;
    }
    Queue& queue = write ? writes_ : reads_;
    const std::uint64_t seq = next_seq_++;
    ++queue.bursts;
    if (!queue.entries.empty()) {
        Entry& tail = queue.entries.back();
        if (tail.request == index && tail.column + tail.waiting == column &&
            tail.seq + tail.waiting == seq) {
            ++tail.waiting;
            return;
        }
    }
    queue.entries.push_back({seq, index, request.bank, request.run.row, column, 1});
}

/// Bursts that enter the queues in clocks before `before`.
void DramChannel::accept(DramClock before) {
    while (!inbound_.empty()) {
        const Request& front = requests_[inbound_.front()];
        if (front.run.arrival > accept_at_) {
            accept_at_ = front.run.arrival;
            accepted_in_ = 0;
        } else if (accepted_in_ == kAcceptedPerClock) {
            ++accept_at_;
            accepted_in_ = 0;
        }
        if (accept_at_ >= before) {
            return;
        }
        const Queue& queue = front.run.write ? writes_ : reads_;
        if (queue.bursts >= dram_.queue_entries) {
            // Room appears with a decision, the next of which is at clock `before`.
            accept_at_ = before;
            accepted_in_ = 0;
            return;
        }
        ++accepted_in_;
        accept_burst(accept_at_);
    }
}

/// The clock from which on the next burst can be seen; kNever: none before a decision makes room.
DramClock DramChannel::next_arrival() const {
    if (inbound_.empty()) {
        return kNever;
    }
    const Request& front = requests_[inbound_.front()];
    if ((front.run.write ? writes_ : reads_).bursts >= dram_.queue_entries) {
        return kNever;
    }
    const DramClock next = accept_at_ + (accepted_in_ == kAcceptedPerClock ? 1 : 0);
    return std::max(front.run.arrival, next) + 1;
}

// --- constraints ---------------------------------------------------------------------------------

DramClock DramChannel::rank_ready(DramCommand command, std::uint32_t rank) const {
    return std::max(channel_ready_[at(command)], ranks_[rank].ready[at(command)]);
}

DramClock DramChannel::ready(DramCommand command, const Bank& bank) const {
    return std::max({channel_ready_[at(command)], ranks_[bank.rank].ready[at(command)],
                     groups_[bank.group][at(command)], bank.ready[at(command)]});
}

void DramChannel::raise(Ready& node, std::span<const DramTimingTable::Rule> rules, DramClock when) {
    for (const DramTimingTable::Rule& rule : rules) {
        DramClock& ready = node[at(rule.following)];
        ready = std::max(ready, when + rule.clocks);
    }
}

/// `bank`: null for the commands to a whole rank.
void DramChannel::apply(DramCommand command, std::uint32_t rank, const Bank* bank) {
    using enum DramLevel;
    raise(channel_ready_, table_.own(kChannel, command), clock_);
    Rank& own = ranks_[rank];
    if (command == DramCommand::kActivate1) {
        own.activations[own.activation_count++ % own.activations.size()] = clock_;
    }
    for (const DramTimingTable::Rule& rule : table_.own(kRank, command)) {
        DramClock from = clock_;
        if (rule.window > 1) {
            if (own.activation_count < rule.window) {
                continue;
            }
            from = own.activations[(own.activation_count - rule.window) % own.activations.size()];
        }
        DramClock& ready = own.ready[at(rule.following)];
        ready = std::max(ready, from + rule.clocks);
    }
    const auto others = table_.siblings(kRank, command);
    if (!others.empty()) {
        for (std::uint32_t other = 0; other < ranks_.size(); ++other) {
            if (other != rank) {
                raise(ranks_[other].ready, others, clock_);
            }
        }
    }
    if (bank != nullptr) {
        raise(groups_[bank->group], table_.own(kBankGroup, command), clock_);
        raise(banks_[static_cast<std::size_t>(bank - banks_.data())].ready,
              table_.own(kBank, command), clock_);
    }
}

// --- refresh -------------------------------------------------------------------------------------

void DramChannel::queue_refresh() {
    if (dram_.refresh == kAllBank) {
        for (std::uint32_t rank = 0; rank < dram_.ranks; ++rank) {
            refresh_queue_.push_back({rank, rank * banks_per_rank_});
        }
        next_refresh_ += dram_.nrefi;
    } else {
        refresh_queue_.push_back({refresh_bank_ / banks_per_rank_, refresh_bank_});
        refresh_bank_ = (refresh_bank_ + 1) % static_cast<std::uint32_t>(banks_.size());
        next_refresh_ += dram_.nrefipb;
    }
}

/// The channel was idle until `when`: the refreshes of that time were done when they were due. All
/// but the last round of them leave no trace.
void DramChannel::catch_up_refresh(DramClock when) {
    if (next_refresh_ >= when) {
        return;
    }
    const DramClock period = dram_.refresh == kAllBank ? dram_.nrefi : dram_.nrefipb;
    const DramClock due = (when - 1 - next_refresh_) / period + 1;
    const auto round = static_cast<DramClock>(dram_.refresh == kAllBank ? 1 : banks_.size());
    if (due > round) {
        const DramClock skipped = due - round;
        next_refresh_ += skipped * period;
        refresh_bank_ = static_cast<std::uint32_t>(
            (refresh_bank_ + static_cast<std::uint64_t>(skipped)) % banks_.size());
    }
}

// --- decisions -----------------------------------------------------------------------------------

bool DramChannel::empty() const {
    return reads_.bursts == 0 && writes_.bursts == 0 && active_.empty() && activating_.empty() &&
           refresh_queue_.empty();
}

bool DramChannel::pending(std::uint32_t rank) const {
    return !activating_.empty() && banks_[activating_.front().bank].rank == rank;
}

void DramChannel::consider(Choice& best, DramClock when, Source source, DramCommand command,
                           std::size_t index) const {
    when = std::max(when, clock_);
    if (when < best.at || (when == best.at && source < best.source)) {
        best = {when, source, command, index};
    }
}

void DramChannel::consider_refresh(Choice& best) const {
    const Refresh& refresh = refresh_queue_.front();
    if (dram_.refresh == kAllBank) {
        const auto first = banks_.begin() + refresh.rank * banks_per_rank_;
        const auto last = first + banks_per_rank_;
        const bool open =
            std::any_of(first, last, [](const Bank& bank) { return bank.row != kClosed; });
        const bool held =
            std::any_of(first, last, [](const Bank& bank) { return bank.active > 0; });
        if (pending(refresh.rank) || (open && held)) {
            return;
        }
        const DramCommand command = open ? DramCommand::kPrechargeAll : DramCommand::kRefreshAll;
        consider(best, rank_ready(command, refresh.rank), Source::kRefresh, command, 0);
        return;
    }
    const Bank& bank = banks_[refresh.bank];
    if (bank.row == kActivating || bank.active > 0) {
        return;
    }
    const DramCommand command =
        bank.row != kClosed ? DramCommand::kPrecharge : DramCommand::kRefreshBank;
    consider(best, ready(command, bank), Source::kRefresh, command, 0);
}

void DramChannel::consider_queue(Choice& best) const {
    const Queue& queue = write_mode_ ? writes_ : reads_;
    const DramCommand column = write_mode_ ? DramCommand::kWrite : DramCommand::kRead;
    std::size_t window = queue.entries.size();
    if (!dram_.reorder) {
        window = active_.empty() && activating_.empty() ? std::min<std::size_t>(window, 1) : 0;
    }
    // The earliest, of those the oldest: one comparison of (clock, position). Without branches, for
    // what comes next is as good as random.
    constexpr unsigned kPositionBits = 13;
    std::uint64_t first = UINT64_MAX;
    const bool may_activate = activating_.empty();
    for (std::size_t index = 0; index < window; ++index) {
        const Entry& entry = queue.entries[index];
        const Bank& bank = banks_[entry.bank];
        const DramCommand other =
            bank.row == kClosed ? DramCommand::kActivate1 : DramCommand::kPrecharge;
        const DramCommand command = bank.row == entry.row ? column : other;
        const DramClock when = std::max(ready(command, bank), clock_);
        // The second half of an activation belongs to the burst that began it, and the row stays
        // open until that burst is served.
        const bool held = (bank.row == kActivating) |
                          ((command == DramCommand::kActivate1) & !may_activate) |
                          ((command == DramCommand::kPrecharge) & (bank.active != 0));
        const std::uint64_t key = static_cast<std::uint64_t>(when) << kPositionBits | index;
        first = std::min(first, held ? UINT64_MAX : key);
    }
    if (first == UINT64_MAX) {
        return;
    }
    const std::size_t index = first & ((1u << kPositionBits) - 1);
    const Entry& entry = queue.entries[index];
    const std::int64_t row = banks_[entry.bank].row;
    const DramCommand command = row == entry.row ? column
                                : row == kClosed ? DramCommand::kActivate1
                                                 : DramCommand::kPrecharge;
    consider(best, static_cast<DramClock>(first >> kPositionBits), Source::kQueue, command, index);
}

DramChannel::Choice DramChannel::choose() {
    Choice best;
    for (std::size_t index = 0; index < active_.size(); ++index) {
        const Active& active = active_[index];
        const DramCommand command = active.write ? DramCommand::kWrite : DramCommand::kRead;
        consider(best, ready(command, banks_[active.bank]), Source::kActive, command, index);
    }
    if (best.at > clock_) {
        if (!refresh_queue_.empty()) {
            consider_refresh(best);
        } else {
            const std::uint64_t full = dram_.queue_entries;
            if (!write_mode_) {
                write_mode_ =
                    writes_.bursts * 100ull > dram_.write_high_percent * full || reads_.bursts == 0;
            } else if (writes_.bursts * 100ull < dram_.write_low_percent * full &&
                       reads_.bursts != 0) {
                write_mode_ = false;
            }
            consider_queue(best);
        }
    }
    if (!activating_.empty()) {
        const bool urgent = clock_ >= activate_deadline_;
        consider(best, clock_, urgent ? Source::kUrgent : Source::kDeferred,
                 DramCommand::kActivate2, 0);
    }
    return best;
}

void DramChannel::issue_column(DramCommand command, std::uint32_t bank, std::uint32_t request) {
    const bool write = command == DramCommand::kWrite;
    apply(command, banks_[bank].rank, &banks_[bank]);
    ++(write ? counters_.writes : counters_.reads);
    burst_done(request, clock_ + (write ? dram_.ncwl : dram_.ncl) + dram_.nbl);
}

void DramChannel::issue(const Choice& choice) {
    switch (choice.source) {
    case Source::kUrgent:
    case Source::kDeferred: {
        const Active burst = activating_.front();
        Bank& bank = banks_[burst.bank];
        apply(DramCommand::kActivate2, bank.rank, &bank);
        bank.row = burst.row;
        ++bank.active;
        activating_.clear();
        const auto place = std::find_if(active_.begin(), active_.end(),
                                        [&](const Active& other) { return other.seq > burst.seq; });
        active_.insert(place, burst);
        return;
    }
    case Source::kActive: {
        const Active burst = active_[choice.index];
        --banks_[burst.bank].active;
        active_.erase(active_.begin() + static_cast<std::ptrdiff_t>(choice.index));
        issue_column(choice.command, burst.bank, burst.request);
        return;
    }
    case Source::kRefresh: {
        const Refresh refresh = refresh_queue_.front();
        const bool whole = dram_.refresh == kAllBank;
        apply(choice.command, refresh.rank, whole ? nullptr : &banks_[refresh.bank]);
        if (choice.command == DramCommand::kPrechargeAll) {
            for (std::uint32_t bank = 0; bank < banks_per_rank_; ++bank) {
                close(banks_[refresh.rank * banks_per_rank_ + bank]);
            }
            ++counters_.precharges;
        } else if (choice.command == DramCommand::kPrecharge) {
            close(banks_[refresh.bank]);
            ++counters_.precharges;
        } else {
            ++counters_.refreshes;
            refresh_queue_.pop_front();
        }
        return;
    }
    default:
        break;
    }

    Queue& queue = write_mode_ ? writes_ : reads_;
    Entry& entry = queue.entries[choice.index];
    Bank& bank = banks_[entry.bank];
    if (choice.command == DramCommand::kPrecharge) {
        apply(choice.command, bank.rank, &bank);
        close(bank);
        ++counters_.precharges;
        return;
    }
    const Entry burst = entry;
    ++entry.seq;
    ++entry.column;
    --queue.bursts;
    if (--entry.waiting == 0) {
        queue.entries.erase(queue.entries.begin() + static_cast<std::ptrdiff_t>(choice.index));
    }
    if (choice.command == DramCommand::kActivate1) {
        apply(choice.command, bank.rank, &bank);
        bank.row = kActivating;
        activating_.push_back({burst.seq, burst.request, burst.bank, burst.row, write_mode_});
        activate_deadline_ = clock_ + dram_.naad;
        ++counters_.activates;
    } else {
        issue_column(choice.command, burst.bank, burst.request);
    }
}

void DramChannel::run(DramClock until, std::vector<DramRunDone>& done) {
    done_ = &done;
    for (;;) {
        accept(clock_);
        if (empty()) {
            // Refreshes of idle time are done late, when it is known that their traces matter.
            const DramClock arrival = next_arrival();
            next_decision_ = arrival;
            if (arrival >= until) {
                break;
            }
            catch_up_refresh(arrival);
            clock_ = std::max(clock_, std::min(arrival, next_refresh_));
            accept(clock_);
        }
        while (next_refresh_ <= clock_) {
            queue_refresh();
        }
        const Choice choice = choose();
        const DramClock changes = std::min(next_arrival(), next_refresh_);
        const DramClock next = std::min(choice.at, changes);
        next_decision_ = next;
        if (next >= until) {
            clock_ = std::max(clock_, until);
            break;
        }
        clock_ = next;
        if (choice.at >= changes) {
            continue; // what becomes visible in this clock takes part in its decision
        }
        issue(choice);
        // What waited for room may enter from here on.
        if (accept_at_ < clock_) {
            accept_at_ = clock_;
            accepted_in_ = 0;
        }
        ++clock_;
    }
    done_ = nullptr;
}

} // namespace talus::sim
