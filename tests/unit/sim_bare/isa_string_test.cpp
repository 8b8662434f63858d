// ISA strings: what selects V, what is refused and by which name.
#include <stdexcept>
#include <string>

#include <gtest/gtest.h>

#include "bare/isa_string.hpp"

namespace talus::sim::bare {
namespace {

TEST(IsaString, SelectsVector) {
    for (const char* text :
         {"rv64i", "rv64gc", "RV64IMAFDC_Zicsr_Zifencei_Zicntr_Zicbom_Zba_Zbb_Zfh", "rv64imac_u",
          "rv64i2p1_m2p0_a2p1_zicsr2p0", "rv64gczba_zbb1p0", "rv64imafdczicsr_zifencei_zfhmin"}) {
        EXPECT_FALSE(parse_isa(text).vector) << text;
    }
    for (const char* text :
         {"rv64gcv", "rv64gcv_zvfh", "rv64gcv_zvl512b_zvfh_zfh_zba_zbb_zicbom", "rv64gc_zve64d",
          "rv64imafdc_v1p0", "RV64IMAFDCV_Zicsr_Zvfh", "rv64gc_v", "rv64imafdcv1p0_zicsr2p0"}) {
        EXPECT_TRUE(parse_isa(text).vector) << text;
    }
}

std::string refusal(const char* text) {
    try {
        parse_isa(text);
    } catch (const std::invalid_argument& error) {
        return error.what();
    }
    return "accepted";
}

TEST(IsaString, NamesWhatNoCoreHas) {
    const auto names = [](const char* text, const char* part) {
        EXPECT_NE(refusal(text).find(part), std::string::npos) << text << ": " << refusal(text);
    };
    names("rv64gch", "h is an extension that no core has");
    names("rv64gc_zbs", "zbs is an extension that no core has");
    names("rv64gcv_zvl1024b", "zvl1024b is an extension");
    names("rv64gc_sstc", "sstc is an extension");
    names("rv64gc_svinval", "svinval is an extension");
    names("rv64gcs", "s is an extension");
    names("rv64gc_zba_", "an underscore");
    names("rv64gc__zba", "an underscore");
    names("rv64e", "e is no base");
    names("rv64mac", "m is no base");
    names("rv64", "names no base");
    names("rv32gc", "rv32 is another base");
    names("gc", "does not begin with rv64");
    names("", "does not begin with rv64");
    names("rv64gc!", "! is not understood");
    names("rv64gc_xtheadba", "xtheadba is an extension");
}

} // namespace
} // namespace talus::sim::bare
