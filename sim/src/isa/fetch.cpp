// Instruction fetch: windows, the instruction cache's tags, and decoding on first use.
//
// A window is the range of addresses in which the dispatch loop takes decoded slots without asking:
// a page of free memory, or one line of cached memory. It ends two bytes early, so that an
// instruction that might cross its end always comes through refill().
#include "fetch.hpp"

#include "core.hpp"
#include "jit/translator.hpp"

namespace talus::sim {

namespace {

/// What a slot holds until its instruction is first met. The slot belongs to `window` or is the one
/// that refill() returned, and is not const where it is stored.
void decode_and_execute(Core& c, const Decoded& d) {
    c.npc = c.pc + d.len;
    for (std::uint8_t slot : d.hazards)
        c.now = std::max(c.now, c.ready[slot]);
    d.fn(c, d);
}

void undecoded(Core& c, const Decoded& slot) {
    const CodePage* page = c.window_page; // refill() handed the slot out; imm is its byte offset
    std::uint32_t bits = 0;
    const auto offset = static_cast<std::uint32_t>(slot.imm);
    std::memcpy(&bits, page->bytes.data() + offset, std::min(4u, page->len - offset));
    auto& target = const_cast<Decoded&>(slot);
    target = decode(bits);
    decode_and_execute(c, target);
}

} // namespace

void CodePage::refresh() {
    translations.clear();
    std::memcpy(bytes.data(), source, len);
    for (std::size_t i = 0; i < slots.size(); ++i) {
        slots[i] = Decoded{};
        slots[i].fn = undecoded;
        slots[i].imm = static_cast<std::int32_t>(2 * i);
    }
}

CodePage* CodeCache::Impl::page(const std::uint8_t* source, std::uint32_t len) {
    constexpr std::size_t kMaxPages = 4096;
    auto found = pages.find(source);
    if (found == pages.end() || found->second->len != len) {
        if (pages.size() >= kMaxPages) {
            pages.clear();
            ++epoch;
        }
        auto fresh = std::make_unique<CodePage>();
        fresh->source = source;
        fresh->len = len;
        fresh->generation = generation;
        fresh->refresh();
        if (found != pages.end() && pages.count(source))
            ++epoch; // replaces a page of another extent
        auto& place = pages[source];
        place = std::move(fresh);
        return place.get();
    }
    CodePage* page = found->second.get();
    if (page->generation != generation) {
        if (std::memcmp(page->bytes.data(), source, len) != 0)
            page->refresh();
        page->generation = generation;
    }
    return page;
}

CodeCache::Impl::Impl() = default;
CodeCache::Impl::~Impl() = default;

jit::Translator* CodeCache::Impl::translate() {
    if (!translator)
        translator = jit::Translator::create(*this);
    return translator.get();
}

void CodeCache::Impl::drop_translations() {
    for (auto& [source, page] : pages)
        page->translations.clear();
}

CodeCache::CodeCache() : impl_(std::make_unique<Impl>()) {}
CodeCache::~CodeCache() = default;
void CodeCache::invalidate() {
    impl_->invalidate();
}
CodeCache::Translations CodeCache::translations() const {
    const jit::Translator* translator = impl_->translator.get();
    return translator ? Translations{translator->traces(), translator->code_bytes()}
                      : Translations{};
}

void Core::drop_fetch_state() {
    ++fetch_version;
    window_len = 0;
    for (PageRef& ref : pages)
        ref = PageRef{};
}

namespace {

/// Where the instruction bytes at an address are, and how far they go.
struct Source {
    const std::uint8_t* host = nullptr; ///< of `base`
    std::uint64_t base = 0;
    std::uint64_t size = 0;
    bool free = false;
};

Source source_of(Core& c, std::uint64_t addr) {
    if (const DirectRegion* region = c.find_region(addr)) {
        if (!region->executable)
            return {};
        return {region->host, region->base, region->size, region->free_fetch};
    }
    FetchWindow& window = c.port_window;
    if (!window.host || addr - window.base >= window.size)
        window = c.port.fetch_window(c.config.id, addr);
    if (!window.host || addr - window.base >= window.size)
        return {};
    return {window.host, window.base, window.size, window.free};
}

/// Looks the line of addr up in the instruction cache and fetches it if need be.
bool line_present(Core& c, std::uint64_t addr) {
    const std::uint64_t line = addr & ~std::uint64_t{kFetchLineBytes - 1};
    std::uint64_t* tag = nullptr;
    if (!c.icache.empty()) {
        tag = &c.icache[line / kFetchLineBytes & (c.icache.size() - 1)];
        if (*tag == (line | 1))
            return true;
    }
    if (!c.sync_point())
        return false;
    const OpResult result = c.port.fetch_miss(c.config.id, c.now, line);
    if (!c.accept(result))
        return false;
    if (!c.timing.functional)
        c.now = std::max(c.now, result.done);
    if (tag)
        *tag = line | 1;
    return true;
}

/// May two bytes at addr be fetched? [lo, hi] shrinks to where the answer holds.
bool fetchable(Core& c, std::uint64_t addr, std::uint64_t& lo, std::uint64_t& hi) {
    return !c.pmp_binds(c.mode) || c.pmp_allows(addr, 2, AccessKind::kFetch, c.mode, lo, hi);
}

CodePage* page_of(Core& c, const Source& source, std::uint64_t addr, std::uint64_t& page_base) {
    const std::uint64_t aligned = addr & ~std::uint64_t{kCodePageBytes - 1};
    page_base = std::max(aligned, source.base);
    Core::PageRef& ref = c.pages[aligned / kCodePageBytes % c.pages.size()];
    if (ref.base == page_base && ref.page && ref.page->generation == c.code->generation)
        return ref.page;
    const std::uint64_t end = std::min(aligned + kCodePageBytes, source.base + source.size);
    const std::uint64_t epoch = c.code->epoch;
    CodePage* page = c.code->page(source.host + (page_base - source.base),
                                  static_cast<std::uint32_t>(end - page_base));
    if (c.code->epoch != epoch)
        c.drop_fetch_state();
    c.code_epoch = c.code->epoch;
    ref = {page_base, page};
    return page;
}

} // namespace

CodePage* Core::code_page(std::uint64_t& base, bool& free) {
    const Source source = source_of(*this, pc);
    if (!source.host)
        return nullptr;
    free = source.free;
    return page_of(*this, source, pc, base);
}

const Decoded* Core::refill() {
    window_len = 0;
    std::uint64_t lo = 0, hi = ~std::uint64_t{0};
    const Source source = source_of(*this, pc);
    if (!source.host || source.base + source.size - pc < 2 || !fetchable(*this, pc, lo, hi)) {
        raise(cause::kFetchAccess, pc);
        return nullptr;
    }
    if (!source.free && !line_present(*this, pc))
        return nullptr;
    if (guard && source.free) [[unlikely]] {
        const DirectRegion* region = find_region(pc);
        const std::uint64_t len = std::min<std::uint64_t>(4, source.base + source.size - pc);
        if (region && !pass_guard(*region, pc, len, AccessKind::kFetch, lo, hi))
            return nullptr;
    }

    std::uint64_t page_base;
    CodePage* page = page_of(*this, source, pc, page_base);
    const std::uint64_t page_end = page_base + page->len;
    std::uint64_t first = std::max(page_base, lo);
    std::uint64_t last = std::min(page_end - 1, hi); // inclusive: hi may be the last address of all
    if (!source.free) {
        const std::uint64_t line = pc & ~std::uint64_t{kFetchLineBytes - 1};
        first = std::max(first, line);
        last = std::min(last, line + kFetchLineBytes - 1);
    }
    window_page = page;
    const auto slot_at = [&](std::uint64_t addr) { return &page->slots[(addr - page_base) / 2]; };

    if (last - pc >= 3 && debug) [[unlikely]] {
        // Breakpoints lie outside of windows; while every instruction counts there is none at all.
        debug->points->exclude_breakpoints(pc, first, last);
        if (debug->every_instruction || first >= last || pc < first || last - pc < 3)
            return slot_at(pc);
    }
    if (last - pc >= 3) { // room for four bytes: an ordinary window
        first += (first ^ pc) & 1;
        window_base = first;
        window_len = last - first - 1; // pc - base < len: four bytes fit from there
        window = slot_at(first);
        return slot_at(pc);
    }

    // The last halfword of a window: the instruction may continue in the next line or page.
    std::uint16_t low;
    std::memcpy(&low, page->bytes.data() + (pc - page_base), 2);
    if ((low & 3) != 3)
        return slot_at(pc);
    const std::uint64_t next = pc + 2;
    std::uint64_t lo2 = 0, hi2 = ~std::uint64_t{0};
    const Source rest = source_of(*this, next);
    if (!rest.host || rest.base + rest.size - next < 2 || !fetchable(*this, next, lo2, hi2)) {
        raise(cause::kFetchAccess, next);
        return nullptr;
    }
    if (!rest.free && !line_present(*this, next))
        return nullptr;
    if (next < page_end)
        return slot_at(pc);
    std::uint64_t next_base;
    const CodePage* next_page = page_of(*this, rest, next, next_base);
    std::uint16_t high;
    std::memcpy(&high, next_page->bytes.data() + (next - next_base), 2);
    scratch = decode(std::uint32_t{high} << 16 | low);
    return &scratch;
}

} // namespace talus::sim
