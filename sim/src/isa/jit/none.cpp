// For hosts without a translator: the interpreter does everything.
#include "translator.hpp"

namespace talus::sim::jit {

class CodeMemory {};

std::unique_ptr<Translator> Translator::create(CodeCache::Impl&) {
    return nullptr;
}
Translator::~Translator() = default;
const Profile* Translator::profile(const HartConfig&) {
    return nullptr;
}
std::size_t Translator::code_bytes() const {
    return 0;
}
Translator::Next Translator::run(Core&, bool) {
    return Next::kBranch;
}

Block::~Block() = default;
TranslatedPage::~TranslatedPage() = default;

} // namespace talus::sim::jit
