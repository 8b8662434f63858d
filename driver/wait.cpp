#include "wait.hpp"

#include "error.hpp"

#include <sys/types.h>
#include <unistd.h>

#include <sched.h>

#include <algorithm>
#include <limits>
#include <thread>

namespace talus::driver {
namespace {

using WallClock = Watch::WallClock;
using std::chrono::microseconds;
using std::chrono::milliseconds;

// An interrupt that gets lost costs this much wall time, not the wait.
constexpr milliseconds kLongestNap{20};
constexpr milliseconds kLateInterrupt{2};
// A parked device gets this much wall time to notice our write before we step it with reads.
constexpr milliseconds kParkedGrace{250};
// A free-running device is late only if it is so by the wall clock too, as far as this.
constexpr std::uint64_t kFreeFloorUs = 1'000'000;

std::uint64_t device_clocks(std::uint64_t microseconds_, std::uint32_t clock_khz) {
    const std::uint64_t khz = clock_khz != 0 ? clock_khz : 1000000;
    const std::uint64_t most = std::numeric_limits<std::uint64_t>::max() / 2;
    return microseconds_ > most / khz ? most : microseconds_ * khz / 1000;
}

} // namespace

void Waiter::until(const std::function<bool()>& done, const std::string& what,
                   std::uint64_t timeout_us, WaitBy by, int eventfd) {
    if (done())
        return;
    talus_status_page status = registers_.status();
    const auto floor =
        microseconds(status.free_running != 0 ? std::min(timeout_us, kFreeFloorUs) : 0);
    Watch watch(device_clocks(timeout_us, status.clock_khz), status.device_clock, WallClock::now(),
                floor);
    bool stepping = false;
    microseconds nap{20};
    for (unsigned round = 0;; ++round) {
        bool silent = false; // a whole nap without an interrupt
        if (by == WaitBy::kPoll) {
            // The device's own requests and its death are seen on the socket only.
            if (round % 256 == 255)
                transport_.wait(-1, milliseconds(0));
            else
                sched_yield();
        } else if (eventfd >= 0) {
            if (transport_.wait(eventfd, stepping ? milliseconds(0) : kLongestNap)) {
                std::uint64_t count = 0;
                [[maybe_unused]] const ssize_t got = read(eventfd, &count, sizeof count);
            } else {
                silent = !stepping;
            }
        } else {
            transport_.wait(-1, milliseconds(0));
            if (!stepping)
                std::this_thread::sleep_for(nap);
            nap = std::min<microseconds>(nap * 2, milliseconds(2));
        }
        if (by == WaitBy::kPoll && round % 64 != 63) {
            if (done())
                return;
            continue;
        }
        // The status first, then the condition: what completed before a snapshot that says "time is
        // up" must not be reported as late.
        const auto now = WallClock::now();
        status = registers_.status();
        if (done()) {
            // Not one that was just about to come.
            if (silent && !transport_.wait(eventfd, kLateInterrupt))
                ++lost_interrupts_;
            return;
        }
        const Watch::Verdict verdict = watch.observe(status.device_clock, now, status.held != 0);
        // A parked device has nothing to run before its next timer; it moves on when it is read.
        // That is how a command that the firmware lost still meets its time-out.
        stepping = status.parked != 0 && watch.elapsed() >= kParkedGrace;
        if (stepping && verdict == Watch::Verdict::kGoOn)
            registers_.step_parked();
        switch (verdict) {
        case Watch::Verdict::kGoOn:
            break;
        case Watch::Verdict::kTimeout:
            throw Error(TALUS_DRV_TIMEOUT, "device " + name_ + ": " + what + " took more than " +
                                               std::to_string(timeout_us) + " us of device time; " +
                                               registers_.last_state());
        case Watch::Verdict::kStandsStill:
            throw Error(TALUS_DRV_DEVICE_LOST,
                        "device " + name_ + " is lost: its clock has stood still for 5 s while " +
                            "waiting for " + what + "; " + registers_.last_state());
        }
    }
}

} // namespace talus::driver
