// The published results, and how each is measured.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "card.hpp"

namespace talus::paper {

// A mechanism and the settings that switch it off.
struct Switch {
    std::string name;
    Settings off;
};

struct Measured {
    double value = 0;                   // in the row's unit
    std::map<std::string, double> more; // what else was seen, for the report; names hold the unit
};

struct Row {
    std::string id;
    std::string what;
    std::string published; // as the source says it
    double target = 0;     // the same as a number, in `unit`
    bool at_least = true;  // ours should be at least the target, else at most
    std::string unit;
    std::function<Measured(const Settings&)> measure;
    std::vector<Switch> switches;
};

std::vector<Row> rows();

} // namespace talus::paper
