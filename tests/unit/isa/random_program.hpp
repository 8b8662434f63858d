// Random programs for the differential test: blocks of random legal instructions between a load of
// all registers and a store of all registers, as one image that both the model and qemu-riscv64
// run.
#ifndef TALUS_TESTS_ISA_RANDOM_PROGRAM_HPP
#define TALUS_TESTS_ISA_RANDOM_PROGRAM_HPP

#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "isa/decode.hpp"
#include "isa/hart.hpp"
#include "test_port.hpp"

namespace talus::sim {

struct ProgramOptions {
    std::uint64_t seed = 1;
    unsigned blocks = 100;
    unsigned instructions = 24; ///< per block
    bool vector = false;        ///< with V instructions and the vector registers in the results
};

class RandomProgram {
  public:
    static constexpr std::uint64_t kBase = 0x20000000;
    static constexpr std::uint64_t kSize = 0x1000000;
    static constexpr std::uint64_t kInit = kBase + 0x400000; ///< register values, block after block
    static constexpr std::uint64_t kResults = kBase + 0x800000; ///< likewise, stored by the program
    static constexpr std::uint64_t kData = kBase + 0xc00000;    ///< what loads and stores touch
    static constexpr std::uint64_t kDataSize = 0x20000;
    static constexpr std::uint64_t kPointer = kData + kDataSize / 2; ///< x31 inside a block
    static constexpr std::uint64_t kIndices = kData + kDataSize; ///< small numbers of each width
    static constexpr unsigned kRegisterBytes =
        4096; ///< x at 0, f at 256, control at 512, v at 1024

    explicit RandomProgram(const ProgramOptions& options);

    /// The whole memory before the program starts; its first instruction is at kBase. It ends with
    /// write(1, kResults, result_bytes()), write(1, kData, kDataSize) and exit(0).
    const std::vector<std::uint8_t>& image() const { return image_; }
    /// The image with the program cut after `blocks` blocks (the results keep their size).
    std::vector<std::uint8_t> image_until(unsigned blocks) const;
    /// image_until(blocks) with a block's instructions from number `keep` on replaced by
    /// no-operations; the name of instruction `keep` - 1 in `last`.
    std::vector<std::uint8_t> image_keeping(unsigned block, unsigned keep, unsigned blocks,
                                            std::string& last) const;
    unsigned length(unsigned block) const {
        return static_cast<unsigned>(listings_.at(block).size());
    }
    std::uint64_t result_bytes() const { return std::uint64_t{options_.blocks} * kRegisterBytes; }

    /// Memory as the trial left it, instruction by instruction: a run of the image must end
    /// likewise.
    const std::vector<std::uint8_t>& trial() const { return memory_; }

    /// "index: encoding name" of the block's random instructions, a line each.
    std::string listing(unsigned block) const;
    /// How often each instruction occurs.
    const std::map<std::string, unsigned>& coverage() const { return coverage_; }
    /// How often vector types and shapes of vector accesses occur: "lmul 7 sew 8", "indexed load
    /// masked of 3", and "shortened" for fault-only-first loads that met a fault.
    const std::map<std::string, unsigned>& shapes() const { return shapes_; }
    /// Random instructions in all blocks.
    std::uint64_t instructions() const {
        std::uint64_t sum = 0;
        for (const auto& [name, count] : coverage_)
            sum += count;
        return sum;
    }

  private:
    struct Emitted {
        std::uint64_t addr;
        std::uint32_t bits;
    };

    std::uint64_t random() { return engine_(); }
    std::uint64_t below(std::uint64_t n) { return engine_() % n; }
    bool one_in(std::uint64_t n) { return below(n) == 0; }
    std::uint64_t interesting();

    void fill_data();
    void fill_registers(unsigned block);
    void emit(std::uint32_t bits);
    void run_pending();
    void load_address(unsigned reg, std::uint64_t addr);
    void prologue(unsigned block);
    void epilogue(unsigned block);
    void finish();
    bool usable(const InsnSpec& spec) const;
    void shape(const InsnSpec& spec, std::uint32_t& bits);
    void shape_vector(const InsnSpec& spec, std::uint32_t& bits);
    bool try_instruction(const InsnSpec& spec);
    void emit_reserved_pair();
    void note_shape(const InsnSpec& spec, std::uint32_t bits);
    bool try_bits(std::uint32_t bits);
    bool stays_in_data(std::uint32_t bits) const;

    ProgramOptions options_;
    std::mt19937_64 engine_;
    std::vector<std::uint8_t> image_;
    std::vector<std::uint8_t> memory_; ///< the trial's, while generating
    TestPort port_;
    CodeCache code_;
    std::unique_ptr<Hart> hart_;
    std::uint64_t at_ = kBase;       ///< where the next instruction goes
    std::uint64_t executed_ = kBase; ///< the trial has run up to here
    std::vector<std::vector<Emitted>> listings_;
    std::vector<std::uint64_t> block_starts_;
    std::uint64_t finish_at_ = 0;
    std::map<std::string, unsigned> coverage_;
    std::map<std::string, unsigned> shapes_;
    std::vector<const InsnSpec*> rows_;
};

} // namespace talus::sim

#endif
