// RISC-V ISA strings ("rv64gcv_zvfh_zba") against what the modelled cores have.
#ifndef TALUS_SIM_BARE_ISA_STRING_HPP
#define TALUS_SIM_BARE_ISA_STRING_HPP

#include <string_view>

namespace talus::sim::bare {

/// The cores of the chip differ in V alone, so that is what a string selects.
struct Isa {
    bool vector = false;
};

/// Reads an ISA string as the manual's naming chapter has it (case does not matter, version numbers
/// are skipped). Throws std::invalid_argument that names the part that the cores do not have or
/// that is not understood. Leaving scalar extensions out is no error and takes nothing away.
Isa parse_isa(std::string_view text);

} // namespace talus::sim::bare

#endif
