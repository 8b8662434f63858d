#include "code_memory.hpp"

#include <cstring>
#include <stdexcept>

namespace talus::sim::jit {

namespace {

asmjit::JitAllocator::CreateParams dual_mapping() {
    asmjit::JitAllocator::CreateParams params;
    params.options = asmjit::JitAllocatorOptions::kUseDualMapping;
    params.blockSize = 1 << 20;
    return params;
}

template <class T>
std::int32_t offset_in(const Core& core, const T& member) {
    return static_cast<std::int32_t>(reinterpret_cast<const char*>(&member) -
                                     reinterpret_cast<const char*>(&core));
}

} // namespace

CodeMemory::CodeMemory()
    : allocator_([] {
          static const auto params = dual_mapping();
          return &params;
      }()) {}

const void* CodeMemory::add(asmjit::CodeHolder& code, std::size_t& bytes) {
    code.flatten();
    code.resolveUnresolvedLinks();
    bytes = code.codeSize();
    void* executable = nullptr;
    void* writable = nullptr;
    if (allocator_.alloc(&executable, &writable, bytes) != asmjit::kErrorOk)
        throw std::runtime_error("the host gives no executable memory for translated code; set "
                                 "HartConfig::translator to false");
    code.relocateToBase(reinterpret_cast<std::uint64_t>(executable));
    bytes = code.codeSize();
    code.copyFlattenedData(writable, bytes);
    used += bytes;
    return executable;
}

void CodeMemory::release(const void* code, std::size_t bytes) {
    if (!code)
        return;
    allocator_.release(const_cast<void*>(code));
    used -= bytes;
    ++epoch;
}

Block::~Block() {
    memory->release(code, bytes);
}

TranslatedPage::~TranslatedPage() = default;

} // namespace talus::sim::jit
