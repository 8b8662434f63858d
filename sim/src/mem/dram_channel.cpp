#include "dram_channel.hpp"

#include <algorithm>
#include <stdexcept>

namespace talus::sim {

namespace {

constexpr unsigned kAcceptedPerClock = 2;
constexpr std::size_t kNear = 2; ///< runs that the host's cache is told of before they enter

constexpr std::size_t at(DramCommand command) {
    return static_cast<std::size_t>(command);
}

enum RefreshMode : std::uint32_t { kNoRefresh, kAllBank, kPerBank };

} // namespace

DramChannel::DramChannel(const DramConfig& dram)
    : dram_(dram), table_(lpddr5_constraints(dram)),
      banks_per_rank_(dram.bank_groups * dram.banks_per_group),
      write_low_(std::uint64_t{dram.write_low_percent} * dram.queue_entries),
      write_high_(std::uint64_t{dram.write_high_percent} * dram.queue_entries) {
    if (write_low_ > write_high_) {
        throw std::invalid_argument("dram.write_low_percent is above dram.write_high_percent");
    }
    compile();
    restart();
}

void DramChannel::restart() {
    const std::uint32_t groups = dram_.ranks * dram_.bank_groups;
    ranks_.assign(dram_.ranks, Rank{});
    banks_.assign(std::size_t{dram_.ranks} * banks_per_rank_, Bank{});
    times_.assign((dram_.ranks + groups + banks_.size()) * kDramCommands, 0);
    for (std::uint32_t index = 0; index < banks_.size(); ++index) {
        Bank& bank = banks_[index];
        bank.rank = index / banks_per_rank_;
        bank.rank_times = bank.rank * kDramCommands;
        bank.group_times = (dram_.ranks + index / dram_.banks_per_group) * kDramCommands;
        bank.own_times = (dram_.ranks + groups + index) * kDramCommands;
        times_[bank.own_times + at(kNothing)] = kNotInTime;
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
        if (entered_ != nullptr) {
            entered_->push_back(request.run.tag);
        }
        if (inbound_.size() > kNear) {
            __builtin_prefetch(&requests_[inbound_[kNear]]);
        }
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
    while (accept_at_ < before && !inbound_.empty()) {
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

/// The clock from which on an arrival can change a decision, given that there is none before. The
/// rest of a read whose first bursts are the last entry of the queue only makes that longer.
DramClock DramChannel::next_change() const {
    if (inbound_.empty() || reads_.entries.empty()) {
        return next_arrival();
    }
    const std::uint32_t index = inbound_.front();
    const Request& front = requests_[index];
    const Entry& tail = reads_.entries.back();
    if (tail.request != index || tail.column + tail.waiting != front.run.column + front.accepted ||
        front.run.write || !writes_.entries.empty()) {
        return next_arrival();
    }
    const std::uint32_t rest = front.run.bursts - front.accepted;
    const std::uint32_t room = dram_.queue_entries - reads_.bursts;
    if (inbound_.size() == 1 || rest > room) {
        return kNever;
    }
    const Request& next = requests_[inbound_[1]];
    if (!next.run.write && rest == room) {
        return kNever;
    }
    const DramClock clock = accept_at_ + (accepted_in_ + rest) / kAcceptedPerClock;
    return std::max(next.run.arrival, clock) + 1;
}

// --- constraints ---------------------------------------------------------------------------------

/// The table as what a command to a bank of a rank puts off, each time once: that of a channel is
/// the later of its ranks'.
void DramChannel::compile() {
    using enum DramLevel;
    effects_.assign(std::size_t{kDramCommands} * dram_.ranks, {});
    const auto add = [](std::vector<Effect>& all, const DramTimingTable::Rule& rule,
                        std::uint32_t node, Effect::Base base) {
        if (rule.window > 1) {
            return; // count_activation()
        }
        const auto time = static_cast<std::uint32_t>(node * kDramCommands + at(rule.following));
        const auto known = std::find_if(all.begin(), all.end(), [&](const Effect& effect) {
            return effect.time == time && effect.base == base;
        });
        if (known != all.end()) {
            known->clocks = std::max(known->clocks, static_cast<std::int32_t>(rule.clocks));
        } else {
            all.push_back({static_cast<std::int32_t>(rule.clocks), time, base});
        }
    };
    for (std::uint32_t number = 0; number < kDramCommands; ++number) {
        const auto command = static_cast<DramCommand>(number);
        for (std::uint32_t rank = 0; rank < dram_.ranks; ++rank) {
            std::vector<Effect>& all = effects(command, rank);
            for (std::uint32_t node = 0; node < dram_.ranks; ++node) {
                for (const auto& rule : table_.own(kChannel, command)) {
                    add(all, rule, node, Effect::Base::kNone);
                }
                for (const auto& rule :
                     node == rank ? table_.own(kRank, command) : table_.siblings(kRank, command)) {
                    add(all, rule, node, Effect::Base::kNone);
                }
            }
            if (command == DramCommand::kPrechargeAll || command == DramCommand::kRefreshAll) {
                continue; // they know no bank
            }
            for (const auto& rule : table_.own(kBankGroup, command)) {
                add(all, rule, 0, Effect::Base::kGroup);
            }
            for (const auto& rule : table_.own(kBank, command)) {
                add(all, rule, 0, Effect::Base::kBank);
            }
        }
    }
}

/// To the whole rank of `bank` where the command is one of those.
void DramChannel::apply(DramCommand command, const Bank& bank) {
    const std::uint32_t bases[] = {0, bank.group_times, bank.own_times};
    DramClock* const times = times_.data();
    for (const Effect& effect : effects(command, bank.rank)) {
        DramClock& time = times[bases[static_cast<std::size_t>(effect.base)] + effect.time];
        time = std::max(time, clock_ + effect.clocks);
    }
}

/// What counts from one of the last activations.
void DramChannel::count_activation(const Bank& bank) {
    Rank& rank = ranks_[bank.rank];
    rank.activations[rank.activation_count++ % rank.activations.size()] = clock_;
    for (const auto& rule : table_.own(DramLevel::kRank, DramCommand::kActivate1)) {
        if (rule.window > 1 && rank.activation_count >= rule.window) {
            const std::uint64_t first = rank.activation_count - rule.window;
            DramClock& time = times_[bank.rank_times + at(rule.following)];
            time = std::max(time, rank.activations[first % rank.activations.size()] + rule.clocks);
        }
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

/// What brings the first refresh of the queue on.
DramCommand DramChannel::refresh_command() const {
    const Refresh& refresh = refresh_queue_.front();
    if (dram_.refresh == kPerBank) {
        return banks_[refresh.bank].row != kClosed ? DramCommand::kPrecharge
                                                   : DramCommand::kRefreshBank;
    }
    const auto first = banks_.begin() + refresh.rank * banks_per_rank_;
    const bool open = std::any_of(first, first + banks_per_rank_,
                                  [](const Bank& bank) { return bank.row != kClosed; });
    return open ? DramCommand::kPrechargeAll : DramCommand::kRefreshAll;
}

DramChannel::Choice DramChannel::choose_refresh() const {
    const Refresh& refresh = refresh_queue_.front();
    const DramCommand command = refresh_command();
    if (dram_.refresh == kPerBank) {
        const Bank& bank = banks_[refresh.bank];
        return bank.active != 0 ? kNoChoice : choice(ready(command, bank), Source::kRefresh, 0);
    }
    const auto first = banks_.begin() + refresh.rank * banks_per_rank_;
    const bool held = std::any_of(first, first + banks_per_rank_,
                                  [](const Bank& bank) { return bank.active != 0; });
    return held ? kNoChoice : choice(times_[first->rank_times + at(command)], Source::kRefresh, 0);
}

DramChannel::Choice DramChannel::choose_from_queue() const {
    const Queue& queue = write_mode_ ? writes_ : reads_;
    const DramCommand column = write_mode_ ? DramCommand::kWrite : DramCommand::kRead;
    std::size_t window = queue.entries.size();
    if (!dram_.reorder) {
        window = active_.empty() && activating_.empty() ? std::min<std::size_t>(window, 1) : 0;
    }
    // One activation is under way at a time.
    const DramCommand activate = activating_.empty() ? DramCommand::kActivate1 : kNothing;
    const std::size_t commands[] = {at(column), at(activate), at(DramCommand::kPrecharge),
                                    at(kNothing)};
    const Entry* const entries = queue.entries.data();
    const Bank* const banks = banks_.data();
    const DramClock* const times = times_.data();
    Choice first = choice(kNotInTime, Source::kQueue, 0);
    for (std::size_t place = 0; place < window; ++place) {
        const Bank& bank = banks[entries[place].bank];
        // Without branches, for what comes next is as good as random.
        const unsigned miss = 0u - static_cast<unsigned>(bank.row != entries[place].row);
        const DramClock* const own = times + commands[static_cast<unsigned>(bank.other) & miss];
        const DramClock around = std::max(own[bank.rank_times], own[bank.group_times]);
        const DramClock when = std::max(around, own[bank.own_times]);
        first = std::min(first, choice(when, Source::kQueue, place));
    }
    return clock_of(first) == kNotInTime ? kNoChoice : first;
}

DramChannel::Choice DramChannel::choose() {
    Choice best = kNoChoice;
    for (std::size_t place = 0; place < active_.size(); ++place) {
        const Active& active = active_[place];
        const DramCommand command = active.write ? DramCommand::kWrite : DramCommand::kRead;
        best = std::min(best, choice(ready(command, banks_[active.bank]), Source::kActive, place));
    }
    if (clock_of(best) > clock_) {
        if (!refresh_queue_.empty()) {
            best = std::min(best, choose_refresh());
        } else {
            const std::uint64_t bursts = writes_.bursts * std::uint64_t{100};
            write_mode_ =
                (write_mode_ ? bursts >= write_low_ : bursts > write_high_) || reads_.bursts == 0;
            best = std::min(best, choose_from_queue());
        }
    }
    if (!activating_.empty()) {
        const bool urgent = clock_ >= activate_deadline_;
        best = std::min(best, choice(clock_, urgent ? Source::kUrgent : Source::kDeferred, 0));
    }
    return best;
}

void DramChannel::issue_column(const Bank& bank, std::uint32_t request, bool write) {
    apply(write ? DramCommand::kWrite : DramCommand::kRead, bank);
    ++(write ? counters_.writes : counters_.reads);
    burst_done(request, clock_ + (write ? dram_.ncwl : dram_.ncl) + dram_.nbl);
}

void DramChannel::issue_refresh() {
    const Refresh refresh = refresh_queue_.front();
    const DramCommand command = refresh_command();
    apply(command, banks_[refresh.bank]);
    if (command == DramCommand::kRefreshAll || command == DramCommand::kRefreshBank) {
        ++counters_.refreshes;
        refresh_queue_.pop_front();
        return;
    }
    ++counters_.precharges;
    const std::uint32_t closed = command == DramCommand::kPrechargeAll ? banks_per_rank_ : 1;
    for (std::uint32_t bank = refresh.bank; bank < refresh.bank + closed; ++bank) {
        banks_[bank].set(kClosed, 0);
    }
}

void DramChannel::issue_from_queue(std::size_t place) {
    Queue& queue = write_mode_ ? writes_ : reads_;
    Entry& entry = queue.entries[place];
    Bank& bank = banks_[entry.bank];
    const bool hit = bank.row == entry.row;
    if (!hit && bank.row != kClosed) {
        apply(DramCommand::kPrecharge, bank);
        bank.set(kClosed, 0);
        ++counters_.precharges;
        return;
    }
    const Entry burst = entry;
    ++entry.seq;
    ++entry.column;
    --queue.bursts;
    if (--entry.waiting == 0) {
        queue.entries.erase(queue.entries.begin() + static_cast<std::ptrdiff_t>(place));
    }
    if (hit) {
        issue_column(bank, burst.request, write_mode_);
        return;
    }
    apply(DramCommand::kActivate1, bank);
    count_activation(bank);
    bank.set(kActivating, 1);
    activating_.push_back({burst.seq, burst.request, burst.bank, burst.row, write_mode_});
    activate_deadline_ = clock_ + dram_.naad;
    ++counters_.activates;
}

void DramChannel::issue(Choice choice) {
    const std::size_t place = choice & ((std::size_t{1} << kPlaceBits) - 1);
    switch (static_cast<Source>(choice >> kPlaceBits & 7)) {
    case Source::kUrgent:
    case Source::kDeferred: {
        const Active burst = activating_.front();
        Bank& bank = banks_[burst.bank];
        apply(DramCommand::kActivate2, bank);
        bank.set(burst.row, bank.active);
        activating_.clear();
        const auto younger = std::find_if(active_.begin(), active_.end(), [&](const Active& other) {
            return other.seq > burst.seq;
        });
        active_.insert(younger, burst);
        return;
    }
    case Source::kActive: {
        const Active burst = active_[place];
        Bank& bank = banks_[burst.bank];
        bank.set(bank.row, bank.active - 1);
        active_.erase(active_.begin() + static_cast<std::ptrdiff_t>(place));
        issue_column(bank, burst.request, burst.write);
        return;
    }
    case Source::kRefresh:
        issue_refresh();
        return;
    case Source::kQueue:
        issue_from_queue(place);
        return;
    }
}

void DramChannel::run(DramClock until, std::vector<DramRunDone>& done,
                      std::vector<std::uint64_t>* entered) {
    done_ = &done;
    entered_ = entered;
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
        const DramClock chosen = clock_of(choice);
        const DramClock changes = std::min(next_change(), next_refresh_);
        const DramClock next = std::min(chosen, changes);
        if (next >= until) {
            accept(std::max(clock_, until - 1));
            next_decision_ = std::min({chosen, next_arrival(), next_refresh_});
            clock_ = std::max(clock_, until);
            break;
        }
        if (next > clock_) {
            clock_ = next;
            accept(clock_);
        }
        if (chosen >= changes) {
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
