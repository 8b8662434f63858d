// The names of CSRs.
#include "commit.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace talus::sim {

namespace {

constexpr CsrName kCsrs[] = {
    {0x001, "fflags"},    {0x002, "frm"},           {0x003, "fcsr"},      {0x008, "vstart"},
    {0x009, "vxsat"},     {0x00a, "vxrm"},          {0x00f, "vcsr"},      {0x300, "mstatus"},
    {0x301, "misa"},      {0x304, "mie"},           {0x305, "mtvec"},     {0x306, "mcounteren"},
    {0x30a, "menvcfg"},   {0x320, "mcountinhibit"}, {0x340, "mscratch"},  {0x341, "mepc"},
    {0x342, "mcause"},    {0x343, "mtval"},         {0x344, "mip"},       {0x3a0, "pmpcfg0"},
    {0x3a2, "pmpcfg2"},   {0x3b0, "pmpaddr0"},      {0x3b1, "pmpaddr1"},  {0x3b2, "pmpaddr2"},
    {0x3b3, "pmpaddr3"},  {0x3b4, "pmpaddr4"},      {0x3b5, "pmpaddr5"},  {0x3b6, "pmpaddr6"},
    {0x3b7, "pmpaddr7"},  {0x3b8, "pmpaddr8"},      {0x3b9, "pmpaddr9"},  {0x3ba, "pmpaddr10"},
    {0x3bb, "pmpaddr11"}, {0x3bc, "pmpaddr12"},     {0x3bd, "pmpaddr13"}, {0x3be, "pmpaddr14"},
    {0x3bf, "pmpaddr15"}, {0xb00, "mcycle"},        {0xb02, "minstret"},  {0xc00, "cycle"},
    {0xc01, "time"},      {0xc02, "instret"},       {0xc20, "vl"},        {0xc21, "vtype"},
    {0xc22, "vlenb"},     {0xf11, "mvendorid"},     {0xf12, "marchid"},   {0xf13, "mimpid"},
    {0xf14, "mhartid"},   {0xf15, "mconfigptr"},
};

} // namespace

std::span<const CsrName> csr_names() {
    return kCsrs;
}

std::string csr_name(unsigned number) {
    const auto* found = std::ranges::lower_bound(kCsrs, number, {}, &CsrName::number);
    return found != std::end(kCsrs) && found->number == number ? std::string(found->name)
                                                               : fmt::format("csr{:x}", number);
}

} // namespace talus::sim
