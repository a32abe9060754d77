// A compiled kernel file is a shared object. It is loaded from memory, as the
// driver loads a cubin.
#include "emu.h"

#include <cstdlib>
#include <cstring>
#include <cxxabi.h>
#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

namespace emu {

Module::~Module() {
	if (handle) dlclose(handle);
	if (file >= 0) close(file);
	if (cells) delete_cells(cells);
}

// read_symbols finds the kernels and the static shared variables of functions,
// which are those without an initial value.
static void read_symbols(Module &m, const char *image) {
	auto *header = reinterpret_cast<const Elf64_Ehdr *>(image);
	auto *sections = reinterpret_cast<const Elf64_Shdr *>(image + header->e_shoff);
	const std::string kernel = "aha_kernel_";
	for (int i = 0; i < header->e_shnum; i++) {
		if (sections[i].sh_type != SHT_SYMTAB) continue;
		auto *symbols = reinterpret_cast<const Elf64_Sym *>(image + sections[i].sh_offset);
		const char *names = image + sections[sections[i].sh_link].sh_offset;
		for (size_t j = 0; j < sections[i].sh_size / sizeof *symbols; j++) {
			const auto &s = symbols[j];
			if (ELF64_ST_TYPE(s.st_info) != STT_OBJECT || s.st_shndx >= header->e_shnum) continue;
			std::string name = names + s.st_name;
			if (!name.compare(0, kernel.size(), kernel)) m.kernels.push_back(name.substr(kernel.size()));
			if (name.compare(0, 3, "_ZZ") || sections[s.st_shndx].sh_type != SHT_NOBITS) continue;
			m.variables.push_back({m.base + s.st_value, s.st_size, name});
		}
	}
}

std::unique_ptr<Module> load(const void *image, std::string &error) {
	auto *header = static_cast<const Elf64_Ehdr *>(image);
	if (!image || memcmp(header->e_ident, ELFMAG, SELFMAG)) {
		error = "the image is not a kernel file compiled by the emulator";
		return nullptr;
	}
	size_t size = header->e_shoff + size_t(header->e_shnum) * header->e_shentsize;
	auto m = std::make_unique<Module>();
	m->file = memfd_create("aha-kernels", MFD_CLOEXEC);
	if (m->file < 0 || write(m->file, image, size) != ssize_t(size)) {
		error = "cannot copy the image";
		return nullptr;
	}
	m->handle = dlopen(format("/proc/self/fd/%d", m->file).c_str(), RTLD_NOW | RTLD_LOCAL);
	if (!m->handle) {
		error = dlerror();
		return nullptr;
	}
	auto *abi = static_cast<const unsigned *>(dlsym(m->handle, "aha_module_abi"));
	auto *check = static_cast<const unsigned *>(dlsym(m->handle, "aha_module_check"));
	m->state = static_cast<aha_state *>(dlsym(m->handle, "aha_module_state"));
	if (!abi || !check || !m->state || *abi != AHA_EMU_ABI) {
		error = "the image was compiled by another version of the emulator";
		return nullptr;
	}
	if (*check != unsigned(config.check)) {
		error = "the image was compiled for another AHA_EMU_CHECK";
		return nullptr;
	}
	struct link_map *map;
	dlinfo(m->handle, RTLD_DI_LINKMAP, &map);
	m->base = map->l_addr;
	auto *segments = reinterpret_cast<const Elf64_Phdr *>(static_cast<const char *>(image) + header->e_phoff);
	for (int i = 0; i < header->e_phnum; i++) {
		if (segments[i].p_type == PT_LOAD) m->end = m->base + segments[i].p_vaddr + segments[i].p_memsz;
	}
	read_symbols(*m, static_cast<const char *>(image));
	attach(*m->state);
	if (config.check) m->cells = new_cells(m->end - m->base);
	return m;
}

// belongs returns whether a mangled variable belongs to the named function.
static bool belongs(const std::string &variable, const std::string &function) {
	size_t at = variable.find_first_not_of("_Z");
	std::string start = std::to_string(function.size()) + function + "E";
	return at != std::string::npos && !variable.compare(at, start.size(), start);
}

static std::string readable(const std::string &mangled) {
	int status;
	char *text = abi::__cxa_demangle(mangled.c_str(), nullptr, nullptr, &status);
	std::string name = text ? text : mangled;
	free(text);
	return name;
}

Function *function(Module &m, const char *name) {
	auto it = m.functions.find(name);
	if (it != m.functions.end()) return it->second.get();
	auto *kernel = static_cast<const aha_kernel *>(dlsym(m.handle, (std::string("aha_kernel_") + name).c_str()));
	if (!kernel) return nullptr;
	auto f = std::make_unique<Function>();
	f->module = &m;
	f->name = name;
	f->kernel = kernel;
	// Its own variables, and those of all device functions, since it may call
	// any.
	for (const auto &v : m.variables) {
		bool other = false;
		for (const auto &k : m.kernels) other |= k != name && belongs(v.name, k);
		if (other) continue;
		f->shared.push_back({v.at, v.size, readable(v.name)});
		f->shared_size += v.size;
	}
	return (m.functions[name] = std::move(f)).get();
}

std::string source(const Module &m, uintptr_t pc) {
	if (pc < m.base || pc >= m.end) return "";
	std::string command = format(
		"addr2line -i -e /proc/%d/fd/%d %#zx 2>/dev/null", getpid(), m.file, size_t(pc - m.base));
	FILE *p = popen(command.c_str(), "r");
	if (!p) return "";
	char line[512] = "";
	if (!fgets(line, sizeof line, p)) line[0] = 0;
	pclose(p);
	std::string text = line;
	text = text.substr(0, text.find_first_of(" \n"));
	if (text.empty() || text[0] == '?') return "";
	return text.substr(text.rfind('/') + 1);
}

} // namespace emu
