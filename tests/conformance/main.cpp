// Conformance: operator x target x shapes x types against the FP64 references.
//
//   conformance [--target NAME | --optional-target NAME]... [--cuda-library PATH] [--golden FILE]
//               [--filter OP] [--verbose] [--batch-invariance]
//
// --batch-invariance checks instead that a row's bits do not depend on its batch; the accelerator
// promises that. Without the other options every target is tried. A target that cannot be opened on
// this machine is named with the reason; that fails the run only if it was asked for by --target.
// Exit 0: all passed.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "case.hpp"
#include "targets.hpp"

namespace {

using talus::conformance::Case;
using talus::conformance::Cases;
using talus::conformance::Outcome;

constexpr size_t kReasons = 5; // shown per operator

struct Options {
    std::vector<std::string> targets;
    std::vector<std::string> required;
    talus::conformance::TargetPaths paths;
    std::string golden;
    std::string filter;
    bool verbose = false;
    bool batch_invariance = false;
};

struct Tally {
    int passed = 0;
    int unsupported = 0;
    int failed = 0;
    double worst = 0;
    std::map<std::string, int> reasons;
};

Options parse(int argc, char** argv) {
    Options options;
    for (int i = 1; i < argc; ++i) {
        const std::string option = argv[i];
        if (option == "--verbose") {
            options.verbose = true;
            continue;
        }
        if (option == "--batch-invariance") {
            options.batch_invariance = true;
            continue;
        }
        if (i + 1 >= argc)
            throw std::runtime_error("unknown option or missing value: " + option);
        const std::string value = argv[++i];
        if (option == "--target") {
            options.targets.push_back(value);
            options.required.push_back(value);
        } else if (option == "--optional-target")
            options.targets.push_back(value);
        else if (option == "--cuda-library")
            options.paths.cuda_library = value;
        else if (option == "--golden")
            options.golden = value;
        else if (option == "--filter")
            options.filter = value;
        else
            throw std::runtime_error("unknown option: " + option);
    }
    return options;
}

Cases all_cases(const Options& options) {
    Cases cases;
    talus::conformance::add_fc_cases(cases);
    talus::conformance::add_fc_int8_cases(cases);
    talus::conformance::add_tbe_cases(cases);
    talus::conformance::add_interaction_cases(cases);
    talus::conformance::add_concat_cases(cases);
    talus::conformance::add_eltwise_cases(cases);
    talus::conformance::add_convert_cases(cases);
    if (!options.golden.empty())
        talus::conformance::add_embedding_bag_golden(cases, options.golden);
    return cases;
}

// Returns the number of failures.
int run_target(const talus::kernels::Target* target, const Options& options) {
    talus::conformance::Runner runner(target);
    std::printf("%s: %s%s%s\n", target->name, runner.capabilities().name,
                runner.capabilities().note[0] != '\0' ? ", " : "", runner.capabilities().note);
    if (options.batch_invariance)
        return talus::conformance::check_batch_invariance(runner);
    std::map<std::string, Tally> tallies;
    for (const auto& factory : all_cases(options)) {
        Case test = factory();
        if (!options.filter.empty() && test.op != options.filter)
            continue;
        const Outcome outcome = runner.run(test);
        Tally& tally = tallies[test.op];
        if (outcome.kind == Outcome::kPassed) {
            ++tally.passed;
            tally.worst = std::max(tally.worst, outcome.worst);
        } else if (outcome.kind == Outcome::kUnsupported) {
            ++tally.unsupported;
            ++tally.reasons[outcome.text];
        } else {
            ++tally.failed;
        }
        if (outcome.kind == Outcome::kFailed || options.verbose)
            std::printf("  %-11s %-11s %s%s%s\n",
                        outcome.kind == Outcome::kPassed        ? "ok"
                        : outcome.kind == Outcome::kUnsupported ? "unsupported"
                                                                : "FAILED",
                        test.op.c_str(), test.name.c_str(), outcome.text.empty() ? "" : ": ",
                        outcome.text.c_str());
    }
    int failures = 0;
    for (const auto& entry : talus::kernels::registry()) {
        if (!options.filter.empty() && options.filter != entry.op->name)
            continue;
        const Tally& tally = tallies[entry.op->name];
        const bool untested = tally.passed == 0;
        std::printf("  %-11s %4d passed, %4d unsupported, %d failed; largest error %.2f of its "
                    "bound%s\n",
                    entry.op->name, tally.passed, tally.unsupported, tally.failed, tally.worst,
                    untested ? "  NOTHING TESTED" : "");
        size_t shown = 0;
        for (const auto& [reason, count] : tally.reasons)
            if (options.verbose || ++shown <= kReasons)
                std::printf("                %4d x unsupported: %s\n", count, reason.c_str());
        if (shown > kReasons)
            std::printf("                and %zu more reasons (--verbose)\n", shown - kReasons);
        failures += tally.failed + (untested ? 1 : 0);
    }
    return failures;
}

} // namespace

int main(int argc, char** argv) {
    try {
        const Options options = parse(argc, argv);
        const std::vector<std::string> names =
            options.targets.empty() ? talus::conformance::target_names() : options.targets;
        int failures = 0;
        int executed = 0;
        for (const std::string& name : names) {
            std::string reason;
            const auto* target = talus::conformance::find_target(name, options.paths, reason);
            if (target == nullptr) {
                std::printf("%s: not executed: %s\n", name.c_str(), reason.c_str());
                failures += static_cast<int>(
                    std::count(options.required.begin(), options.required.end(), name));
                continue;
            }
            ++executed;
            failures += run_target(target, options);
        }
        std::printf("conformance: %s\n", failures != 0   ? "FAILED"
                                         : executed == 0 ? "nothing executed"
                                                         : "passed");
        return failures == 0 ? 0 : 1;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "conformance: %s\n", error.what());
        return 2;
    }
}
