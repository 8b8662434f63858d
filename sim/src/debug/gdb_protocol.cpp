// The packets of gdb's remote protocol (all-stop, one process, hart h is thread h + 1).
#include <algorithm>

#include <fmt/format.h>

#include "talus/hw/address_map.h"

#include "debugger.hpp"
#include "registers.hpp"

namespace talus::sim::debug {

namespace {

constexpr const char* kOk = "OK";
constexpr const char* kMalformed = "E16"; // EINVAL
constexpr const char* kFault = "E0e";     // EFAULT
constexpr const char* kAbsent = "E02";    // ENOENT
constexpr const char* kBusy = "E10";      // EBUSY
/// Breakpoints and watchpoints that a session may set; bounds what a hostile client costs.
constexpr std::size_t kMaxPoints = 1024;
/// Reads and writes are carried out in pieces that end at multiples of this: no memory or register
/// block of the address map ends elsewhere.
constexpr std::uint64_t kPiece = 4096;

bool starts(std::string_view text, std::string_view with) {
    return text.substr(0, with.size()) == with;
}

/// offset,length of a qXfer read.
std::string part_of(const std::string& document, std::string_view window) {
    const auto offset = parse_hex(take_field(window, ","));
    const auto length = parse_hex(window);
    if (!offset || !length) {
        return kMalformed;
    }
    if (*offset >= document.size()) {
        return "l";
    }
    const std::size_t bytes = std::min<std::uint64_t>(*length, kMaxPacket / 2);
    const bool more = *offset + bytes < document.size();
    return fmt::format("{}{}", more ? 'm' : 'l', std::string_view(document).substr(*offset, bytes));
}

std::string unavailable(unsigned bytes) {
    return std::string(2 * std::size_t{bytes}, 'x');
}

} // namespace

std::optional<std::string> Debugger::answer(std::string_view packet) {
    if (packet.empty()) {
        return "";
    }
    const std::string_view rest = packet.substr(1);
    switch (packet[0]) {
    case '?':
        return last_reply_;
    case 'q':
    case 'Q':
        return answer_query(packet);
    case 'v':
        if (packet == "vCont?") {
            return "vCont;c;C;s;S;r";
        }
        if (starts(packet, "vCont;")) {
            return answer_resume(packet);
        }
        if (!starts(packet, "vKill")) {
            return "";
        }
        [[fallthrough]];
    case 'k':
        if (options_.on_kill) {
            options_.on_kill();
        }
        return packet[0] == 'v' ? std::optional<std::string>(kOk) : std::nullopt;
    case 'c':
    case 'C':
    case 's':
    case 'S':
        return answer_resume(packet);
    case 'D':
        release();
        return kOk;
    case 'H': {
        const std::string_view id = rest.empty() ? rest : rest.substr(1);
        const bool any = id == "0" || id == "-1";
        const auto hart = any ? std::optional(current_) : thread(id);
        if (!hart) {
            return kAbsent;
        }
        (rest[0] == 'c' ? current_resume_ : current_) = *hart;
        return kOk;
    }
    case 'T':
        return thread(rest) ? kOk : kAbsent;
    case 'g':
    case 'G':
    case 'p':
    case 'P':
        return answer_registers(packet);
    case 'm':
    case 'M':
    case 'X':
        return answer_memory(packet);
    case 'z':
    case 'Z':
        return answer_point(packet);
    default:
        return ""; // what gdb takes for "not supported"
    }
}

std::optional<HartId> Debugger::thread(std::string_view text) const {
    const auto id = parse_hex(text);
    if (!id || *id == 0 || *id > control_.size()) {
        return std::nullopt;
    }
    return static_cast<HartId>(*id - 1);
}

// --- queries -------------------------------------------------------------------------------------

std::optional<std::string> Debugger::answer_query(std::string_view packet) {
    if (starts(packet, "qSupported")) {
        return fmt::format("PacketSize={:x};QStartNoAckMode+;qXfer:features:read+;"
                           "qXfer:threads:read+;swbreak+;hwbreak+;vContSupported+",
                           kMaxPacket);
    }
    if (packet == "QStartNoAckMode") {
        server_->send(kOk);
        server_->end_acknowledgements();
        return std::nullopt;
    }
    if (packet == "qC") {
        return fmt::format("QC{:x}", current_ + 1);
    }
    if (starts(packet, "qAttached")) {
        return "1";
    }
    if (packet == "qfThreadInfo") {
        std::string text = "m";
        for (HartId hart = 0; hart < control_.size(); ++hart) {
            text += fmt::format("{}{:x}", hart == 0 ? "" : ",", hart + 1);
        }
        return text;
    }
    if (packet == "qsThreadInfo") {
        return "l";
    }
    if (starts(packet, "qThreadExtraInfo,")) {
        const auto hart = thread(packet.substr(packet.find(',') + 1));
        return hart ? to_hex(fmt::format("{}: {}", parts_.cores.name(*hart), hart_state(*hart)))
                    : kAbsent;
    }
    if (starts(packet, "qXfer:")) {
        return answer_transfer(packet.substr(6));
    }
    if (starts(packet, "qSymbol")) {
        return kOk;
    }
    if (starts(packet, "qRcmd,")) {
        const auto command = from_hex(packet.substr(6));
        if (!command) {
            return kMalformed;
        }
        const std::string output =
            monitor({reinterpret_cast<const char*>(command->data()), command->size()});
        constexpr std::size_t kPart = kMaxPacket / 2 - 16;
        for (std::size_t at = 0; at < output.size(); at += kPart) {
            server_->send(fmt::format("O{}", to_hex(std::string_view(output).substr(at, kPart))));
        }
        return kOk;
    }
    return "";
}

std::string Debugger::answer_transfer(std::string_view request) {
    if (starts(request, "features:read:target.xml:")) {
        return part_of(target_description(), request.substr(request.rfind(':') + 1));
    }
    if (starts(request, "features:read:")) {
        return "E00"; // no such annex
    }
    if (starts(request, "threads:read::")) {
        return part_of(thread_list(), request.substr(request.rfind(':') + 1));
    }
    return "";
}

std::string Debugger::thread_list() const {
    std::string text = "<?xml version=\"1.0\"?>\n<threads>\n";
    for (HartId hart = 0; hart < control_.size(); ++hart) {
        text += fmt::format("<thread id=\"{:x}\" core=\"{}\" name=\"{}\">{}</thread>\n", hart + 1,
                            hart, parts_.cores.name(hart), hart_state(hart));
    }
    return text + "</threads>\n";
}

// --- resuming ------------------------------------------------------------------------------------

std::optional<std::string> Debugger::answer_resume(std::string_view packet) {
    if (!stopped_) {
        return kBusy;
    }
    std::vector<Request> requests;
    if (packet[0] != 'v') {
        // c, C, s, S: the hart of Hc; an address to go on at is an old form that gdb does not use.
        const bool step = packet[0] == 's' || packet[0] == 'S';
        const bool signal = packet[0] == 'C' || packet[0] == 'S';
        if (signal ? !parse_hex(packet.substr(1)) : packet.size() > 1) {
            return kMalformed;
        }
        if (step) {
            requests.push_back({Action::kStep, 0, 0, current_resume_});
        }
        requests.push_back({});
        resume(requests);
        return std::nullopt;
    }
    packet.remove_prefix(std::string_view("vCont;").size());
    while (!packet.empty()) {
        std::string_view field = take_field(packet, ";");
        std::string_view what = take_field(field, ":");
        Request request;
        if (!field.empty() && field != "-1") {
            request.hart = thread(field);
            if (!request.hart) {
                return kAbsent;
            }
        }
        const char kind = what.empty() ? '\0' : what[0];
        const std::string_view value = what.empty() ? what : what.substr(1);
        std::string_view window = value;
        switch (kind) {
        case 'c':
            break;
        case 's':
            request.action = Action::kStep;
            break;
        case 'C': // signals mean nothing to a hart
        case 'S':
            request.action = kind == 'S' ? Action::kStep : Action::kContinue;
            if (!parse_hex(value)) {
                return kMalformed;
            }
            break;
        case 'r': {
            const auto begin = parse_hex(take_field(window, ","));
            const auto end = parse_hex(window);
            if (!begin || !end) {
                return kMalformed;
            }
            request.action = Action::kStep;
            request.range_begin = *begin;
            request.range_end = *end;
            break;
        }
        default:
            return kMalformed;
        }
        requests.push_back(request);
    }
    if (requests.empty()) {
        return kMalformed;
    }
    resume(requests);
    return std::nullopt;
}

// --- breakpoints and watchpoints -----------------------------------------------------------------

std::string Debugger::answer_point(std::string_view packet) {
    const bool insert = packet[0] == 'Z';
    std::string_view rest = packet.substr(1);
    const auto type = parse_hex(take_field(rest, ","));
    const auto addr = parse_hex(take_field(rest, ","));
    const auto len = parse_hex(take_field(rest, ";")); // conditions are gdb's to evaluate
    if (!type || !addr || !len) {
        return kMalformed;
    }
    if (*type > 4) {
        return "";
    }
    if (!change_point(insert, static_cast<unsigned>(*type), *addr, *len)) {
        return kMalformed;
    }
    apply_points();
    return kOk;
}

bool Debugger::change_point(bool insert, unsigned type, std::uint64_t addr, std::uint64_t len) {
    const auto change = [insert](auto& list, const auto& point) {
        const auto found = std::find(list.begin(), list.end(), point);
        if (!insert && found != list.end()) {
            list.erase(found);
        } else if (insert && found == list.end()) {
            if (list.size() >= kMaxPoints) {
                return false;
            }
            list.push_back(point);
        }
        return true;
    };
    if (type <= 1) {
        if (insert) {
            lifted_.erase(std::remove(lifted_.begin(), lifted_.end(), addr), lifted_.end());
        } else {
            lifted_.push_back(addr);
        }
        return addr % 2 == 0 && change(breakpoints_, Breakpoint{addr, type == 1});
    }
    if (len == 0 || addr + len < addr) {
        return false;
    }
    const Watchpoint point{addr, len, type != 2, type != 3};
    for (Control& control : control_) {
        if (!insert && control.watch && control.watch->point == point) {
            control.watch.reset();
        }
    }
    return change(watchpoints_, point);
}

// --- registers and memory ------------------------------------------------------------------------

std::string Debugger::answer_registers(std::string_view packet) {
    Hart& hart = parts_.cores.hart(current_);
    std::string_view rest = packet.substr(1);
    const auto read = [&](unsigned number) {
        const auto bytes = read_register(hart, number);
        return bytes ? to_hex(*bytes) : unavailable(register_bytes(number));
    };
    const auto write = [&](unsigned number, std::string_view text) {
        const auto bytes = from_hex(text);
        if (!bytes || !write_register(hart, number, *bytes)) {
            return false;
        }
        if (number == kRegPc) {
            control_[current_].passed.reset();
        }
        touched_ = true;
        return true;
    };
    switch (packet[0]) {
    case 'g': {
        std::string text;
        for (unsigned number = 0; number < kGeneralRegisters; ++number) {
            text += read(number);
        }
        return text;
    }
    case 'G':
        if (rest.size() != 16 * std::size_t{kGeneralRegisters} || !from_hex(rest)) {
            return kMalformed;
        }
        for (unsigned number = 0; number < kGeneralRegisters; ++number) {
            write(number, rest.substr(16 * std::size_t{number}, 16));
        }
        return kOk;
    case 'p': {
        const auto number = parse_hex(rest);
        const bool known =
            number && *number < kRegEnd && register_bytes(static_cast<unsigned>(*number)) != 0;
        return known ? read(static_cast<unsigned>(*number)) : kMalformed;
    }
    default: {
        const auto number = parse_hex(take_field(rest, "="));
        const bool done =
            number && *number < kRegEnd && write(static_cast<unsigned>(*number), rest);
        return done ? kOk : kMalformed;
    }
    }
}

// As the current hart sees it. The absolute PE windows are there for everybody who debugs, because
// they alone name one PE's local memory whichever hart is current.
FabricError Debugger::peek(std::uint64_t addr, void* data, std::uint64_t len) {
    const bool window =
        addr >= TALUS_PE_WINDOW_BASE && addr - TALUS_PE_WINDOW_BASE < TALUS_PE_WINDOW_SIZE;
    return parts_.cores.peek(window ? 0 : current_, addr, data, len);
}

FabricError Debugger::poke(std::uint64_t addr, const void* data, std::uint64_t len) {
    const bool window =
        addr >= TALUS_PE_WINDOW_BASE && addr - TALUS_PE_WINDOW_BASE < TALUS_PE_WINDOW_SIZE;
    return parts_.cores.poke(window ? 0 : current_, addr, data, len);
}

std::string Debugger::answer_memory(std::string_view packet) {
    std::string_view rest = packet.substr(1);
    const auto addr = parse_hex(take_field(rest, ","));
    const auto len = parse_hex(take_field(rest, ":"));
    if (!addr || !len || *addr + *len < *addr) {
        return kMalformed;
    }
    const auto piece = [&](std::uint64_t at) {
        return std::min(*len - at, kPiece - (*addr + at) % kPiece);
    };
    if (packet[0] == 'm') {
        // Less than was asked for may come back; gdb then asks for the rest.
        std::vector<std::uint8_t> bytes(std::min<std::uint64_t>(*len, kMaxPacket / 2 - 8));
        std::uint64_t got = 0;
        while (got < bytes.size()) {
            const std::uint64_t part = std::min(piece(got), bytes.size() - got);
            if (peek(*addr + got, bytes.data() + got, part) != FabricError::kNone) {
                break;
            }
            got += part;
        }
        bytes.resize(got);
        return got == 0 && *len != 0 ? kFault : to_hex(bytes);
    }
    std::vector<std::uint8_t> bytes;
    if (packet[0] == 'X') {
        bytes.assign(rest.begin(), rest.end());
    } else if (auto decoded = from_hex(rest)) {
        bytes = std::move(*decoded);
    } else {
        return kMalformed;
    }
    if (bytes.size() != *len) {
        return kMalformed;
    }
    touched_ = touched_ || !bytes.empty();
    for (std::uint64_t at = 0; at < bytes.size(); at += piece(at)) {
        if (poke(*addr + at, bytes.data() + at, piece(at)) != FabricError::kNone) {
            return kFault;
        }
    }
    return kOk;
}

} // namespace talus::sim::debug
