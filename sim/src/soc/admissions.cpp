#include "admissions.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string_view>

#include <fmt/format.h>

#include "talus/hw/contract_hash.h"

namespace talus::sim {

namespace {

constexpr std::array<std::string_view, 9> kNames{"frozen",  "controller",     "sq-tail",
                                                 "cq-head", "shadow-tail",    "shadow-heads",
                                                 "poll",    "function-reset", "fundamental-reset"};

std::string header() {
    return fmt::format("talus-admissions 1 {:016x}", TALUS_CONTRACT_HASH);
}

bool parse(const std::string& line, Admission& admission) {
    std::istringstream fields(line);
    std::string kind;
    std::string rest;
    if (!(fields >> admission.event >> admission.clock >> kind >> admission.index >> std::hex >>
          admission.value) ||
        (fields >> rest)) {
        return false;
    }
    for (std::size_t i = 0; i < kNames.size(); ++i) {
        if (kNames[i] == kind) {
            admission.kind = static_cast<Admission::Kind>(i);
            return true;
        }
    }
    return false;
}

} // namespace

std::string Admission::text() const {
    return fmt::format("{} {} value {:#x} at clock {}", kNames[static_cast<std::size_t>(kind)],
                       index, value, clock);
}

AdmissionLog::AdmissionLog(const std::string& path) : file_(std::fopen(path.c_str(), "w")) {
    if (file_ == nullptr) {
        throw std::runtime_error(
            fmt::format("cannot write the admissions to {}: {}", path, std::strerror(errno)));
    }
    std::setvbuf(file_.get(), nullptr, _IOLBF, BUFSIZ);
    fmt::print(file_.get(), "{}\n", header());
}

void AdmissionLog::add(const Admission& admission) {
    fmt::print(file_.get(), "{} {} {} {} {:x}\n", admission.event, admission.clock,
               kNames[static_cast<std::size_t>(admission.kind)], admission.index, admission.value);
}

AdmissionReplay::AdmissionReplay(const std::string& path) {
    std::ifstream file(path);
    std::string line;
    if (!file || !std::getline(file, line)) {
        throw std::runtime_error(fmt::format("{}: no such file, or it is empty", path));
    }
    if (line != header()) {
        throw std::runtime_error(
            fmt::format("{}:1: '{}' is not '{}': no log of --host-log, or one of another contract",
                        path, line.substr(0, 60), header()));
    }
    for (std::size_t number = 2; std::getline(file, line); ++number) {
        Admission admission;
        if (!parse(line, admission) ||
            (!admissions_.empty() && admission.event < admissions_.back().event)) {
            throw std::runtime_error(
                fmt::format("{}:{}: '{}' is no admission that can follow the one before", path,
                            number, line.substr(0, 60)));
        }
        admissions_.push_back(admission);
    }
}

} // namespace talus::sim
