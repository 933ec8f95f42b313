// fake_images.cpp - what a kernel's image says: the names of its kernels and their needs, from PTX text or a cubin (ELF).
#include "fake_cuda.h"
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <elf.h>

namespace driver {
// =============================================================================================== PTX
static std::string without_comments(const char* text) {
    std::string s;
    for (const char* p = text; *p; p++) {
        if (p[0] == '/' && p[1] == '/') while (p[1] && p[1] != '\n') p++;
        else if (p[0] == '/' && p[1] == '*') { const char* end = strstr(p + 2, "*/"); if (!end) break; p = end + 1; }
        else s += *p;
    }
    return s;
}
static size_t type_bytes(const std::string& parameter) {
    auto has = [&](const char* bits) { return parameter.find(bits) != parameter.npos; };
    return has("64") ? 8 : has("32") ? 4 : has("16") ? 2 : 1;
}
static CUresult read_ptx(const char* text, Module& module) {
    std::string ptx = without_comments(text);
    size_t version = ptx.find(".version"), target = ptx.find(".target");
    if (version == ptx.npos || target == ptx.npos) { simt::say("the image is neither a cubin nor PTX"); return INVALID_IMAGE; }
    double isa = strtod(ptx.c_str() + version + 8, nullptr);
    // ISA 7.0 came with CUDA 11.0, 8.0 with 12.0, 9.0 with 13.0
    if ((int)(isa * 10 + 0.5) > (driver_version / 1000 - 4) * 10 + driver_version % 1000 / 10) {
        simt::say("PTX of ISA %.1f is newer than the driver %d", isa, driver_version);
        return UNSUPPORTED_PTX_VERSION;
    }
    size_t sm = ptx.find("sm_", target);
    if (sm == ptx.npos || atoi(ptx.c_str() + sm + 3) > capability_major * 10 + capability_minor) {
        simt::say("the PTX is for %.6s, the card has %d.%d", ptx.c_str() + std::min(sm, ptx.size()), capability_major, capability_minor);
        return INVALID_PTX;
    }
    for (size_t at = 0; (at = ptx.find(".entry", at)) != ptx.npos;) {
        at = ptx.find_first_not_of(" \t\n", at + 6);
        size_t open = ptx.find('(', at), close = ptx.find(')', open), body = ptx.find('{', close);
        if (body == ptx.npos) return INVALID_PTX;
        Function f;
        f.name = ptx.substr(at, open - at);
        f.name.erase(f.name.find_last_not_of(" \n\t") + 1);
        std::string list = ptx.substr(open, close - open), limits = ptx.substr(close, body - close);
        size_t offset = 0;
        for (size_t k = 0; (k = list.find(".param", k)) != list.npos;) {
            size_t end = std::min(list.find(',', k += 6), list.size());
            std::string one = list.substr(k, end - k);
            size_t bracket = one.find('['), align = one.find(".align");
            size_t size = bracket == one.npos ? type_bytes(one.substr(0, one.rfind(' '))) : strtoul(one.c_str() + bracket + 1, nullptr, 10);
            size_t to = align == one.npos ? size : strtoul(one.c_str() + align + 6, nullptr, 10);
            offset = (offset + to - 1) / to * to;
            f.parameters.push_back({offset, size});
            offset += size;
        }
        size_t most = limits.find(".maxntid");
        if (most != limits.npos) {
            f.max_threads = 1;
            for (const char* p = limits.c_str() + most + 8; *p && *p != '.';)
                if (*p >= '0' && *p <= '9') f.max_threads *= (int)strtol(p, const_cast<char**>(&p), 10); else p++;
        }
        module.functions[f.name] = f;
    }
    return OK;
}

// =============================================================================================== cubin
enum { FrameSize = 0x11, MaxThreads = 0x05, ParameterInfo = 0x17, Registers = 0x2f };   // attributes of .nv.info
template <class Visit> static void each_attribute(const char* data, size_t n, Visit visit) {
    for (size_t at = 0; at + 4 <= n;) {                    // format, attribute, and a value or the size of what follows
        unsigned char format = (unsigned char)data[at], attribute = (unsigned char)data[at + 1];
        unsigned short value;
        memcpy(&value, data + at + 2, 2);
        size_t size = format == 4 ? value : 0;
        if (at + 4 + size > n) return;
        visit(attribute, data + at + 4, size);
        at += 4 + size;
    }
}
static unsigned word(const char* p, int i) { unsigned w; memcpy(&w, p + 4 * i, 4); return w; }
static CUresult read_cubin(const char* image, Module& module) {
    auto* head = (const Elf64_Ehdr*)image;
    if (head->e_ident[EI_CLASS] != ELFCLASS64 || head->e_machine != 190) {
        simt::say("the ELF image is not a cubin");
        return INVALID_IMAGE;
    }
    int sm = (int)(head->e_flags & 0xff);                  // runs on its own major architecture, from its own minor on
    if (sm / 10 != capability_major || sm % 10 > capability_minor) {
        simt::say("the cubin is for sm_%d, the card has %d.%d", sm, capability_major, capability_minor);
        return NO_BINARY_FOR_GPU;
    }
    auto* sections = (const Elf64_Shdr*)(image + head->e_shoff);
    const char* names = image + sections[head->e_shstrndx].sh_offset;
    const Elf64_Sym* symbols = nullptr;
    const char* symbol_names = nullptr;
    size_t symbol_count = 0;
    for (int i = 0; i < head->e_shnum; i++) {
        const Elf64_Shdr& s = sections[i];
        std::string name = names + s.sh_name;
        if (name.rfind(".text.", 0) == 0) module.functions[name.substr(6)].name = name.substr(6);
        if (s.sh_type != SHT_SYMTAB) continue;
        symbols = (const Elf64_Sym*)(image + s.sh_offset);
        symbol_count = s.sh_size / sizeof(Elf64_Sym);
        symbol_names = image + sections[s.sh_link].sh_offset;
    }
    for (int i = 0; i < head->e_shnum; i++) {
        const Elf64_Shdr& s = sections[i];
        std::string name = names + s.sh_name;
        bool is_shared = name.rfind(".nv.shared.", 0) == 0;
        if (!is_shared && name.rfind(".nv.info", 0) != 0) continue;
        std::string kernel = is_shared ? name.substr(11) : name.size() > 9 ? name.substr(9) : "";
        auto f = module.functions.find(kernel);
        // from sm_90 on the first KiB of the section is the card's own
        if (f != module.functions.end() && is_shared) {
            f->second.static_shared = (int)s.sh_size - (sm >= 90 && s.sh_size >= 1024 ? 1024 : 0);
            f->second.dynamic_limit -= f->second.static_shared;
        }
        if (is_shared) continue;
        each_attribute(image + s.sh_offset, s.sh_size, [&](int attribute, const char* data, size_t n) {
            if ((attribute == FrameSize || attribute == Registers) && n >= 8 && word(data, 0) < symbol_count) {
                auto of = module.functions.find(symbol_names + symbols[word(data, 0)].st_name);
                if (of != module.functions.end()) (attribute == FrameSize ? of->second.local : of->second.registers) = (int)word(data, 1);
            }
            if (f == module.functions.end()) return;
            if (attribute == MaxThreads && n >= 12) f->second.max_threads = (int)(word(data, 0) * word(data, 1) * word(data, 2));
            if (attribute == ParameterInfo && n >= 12) {   // index; ordinal and offset; size in the upper bits
                size_t ordinal = word(data, 1) & 0xffff;
                if (f->second.parameters.size() <= ordinal) f->second.parameters.resize(ordinal + 1);
                f->second.parameters[ordinal] = {word(data, 1) >> 16, word(data, 2) >> 18};
            }
        });
    }
    return OK;
}

CUresult read_image(const void* image, Module& module) {
    auto* bytes = static_cast<const char*>(image);
    return memcmp(bytes, ELFMAG, SELFMAG) == 0 ? read_cubin(bytes, module) : read_ptx(bytes, module);
}
}  // namespace driver
