// The entry points of NVRTC, implemented with g++: the source is preprocessed,
// its CUDA keywords are rewritten, and the result is compiled to a shared
// object.
#include "emu.h"

#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <spawn.h>
#include <sstream>
#include <sys/wait.h>
#include <unistd.h>
#include <unordered_set>

#include "embedded.inc"
#include "rewrite.h"

using namespace emu;

extern char **environ;

namespace {

enum {
	NVRTC_SUCCESS = 0,
	NVRTC_OUT_OF_MEMORY = 1,
	NVRTC_INVALID_INPUT = 3,
	NVRTC_INVALID_PROGRAM = 4,
	NVRTC_INVALID_OPTION = 5,
	NVRTC_COMPILATION = 6,
	NVRTC_INTERNAL_ERROR = 11,
};

struct Program {
	std::string source, name, log, cubin;
	std::vector<std::pair<std::string, std::string>> headers;
};

std::mutex compile_lock; // separate from the driver's lock
std::unordered_set<Program *> programs;

bool has_fma() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }

std::string read_file(const std::string &path) {
	std::ifstream in(path, std::ios::binary);
	std::stringstream text;
	text << in.rdbuf();
	return text.str();
}

bool write_file(const std::string &path, const std::string &text) {
	std::ofstream out(path, std::ios::binary);
	out << text;
	return bool(out.flush());
}

// execute runs a command in a folder and adds its output to log.
bool execute(std::vector<std::string> command, const std::string &folder, std::string &log) {
	std::string output = folder + "/aha/log";
	posix_spawn_file_actions_t actions;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addchdir_np(&actions, folder.c_str());
	posix_spawn_file_actions_addopen(&actions, 1, output.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
	posix_spawn_file_actions_adddup2(&actions, 1, 2);
	std::vector<char *> argv;
	for (auto &word : command) argv.push_back(word.data());
	argv.push_back(nullptr);
	pid_t pid;
	int rc = posix_spawnp(&pid, argv[0], &actions, nullptr, argv.data(), environ);
	posix_spawn_file_actions_destroy(&actions);
	if (rc) {
		log += command[0] + ": " + strerror(rc) + "\n";
		return false;
	}
	int status = 0;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
	}
	log += read_file(output);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

// A Folder is a temporary folder.
struct Folder {
	std::string path;
	Folder() {
		const char *root = getenv("TMPDIR");
		path = std::string(root && *root ? root : "/tmp") + "/aha-emu-XXXXXX";
		if (!mkdtemp(path.data())) path.clear();
	}
	~Folder() {
		std::error_code ignored;
		if (!path.empty()) std::filesystem::remove_all(path, ignored);
	}
	bool add(const std::string &name, const std::string &text) const {
		std::error_code error;
		auto file = std::filesystem::path(path) / name;
		std::filesystem::create_directories(file.parent_path(), error);
		return write_file(file, text);
	}
};

// translate translates NVRTC's options to those of g++'s preprocessor.
bool translate(const std::vector<std::string> &options, std::vector<std::string> &flags, std::string &log) {
	std::string arch = "520", standard = "c++17";
	for (size_t i = 0; i < options.size(); i++) {
		std::string o = options[i];
		auto value = [&](const char *name) -> const char * {
			size_t n = strlen(name);
			if (o.compare(0, n, name)) return nullptr;
			if (o.size() > n && o[n] == '=') return options[i].c_str() + n + 1;
			if (o.size() == n && i + 1 < options.size()) return options[++i].c_str();
			return nullptr;
		};
		const char *v;
		if ((v = value("--gpu-architecture")) || (v = value("-arch"))) {
			int number = 0;
			if (sscanf(v, "sm_%d", &number) != 1 && sscanf(v, "compute_%d", &number) != 1) {
				log += std::string("invalid value for --gpu-architecture: ") + v + "\n";
				return false;
			}
			arch = std::to_string(number * 10);
		} else if ((v = value("--std")) || (v = value("-std"))) {
			standard = v;
		} else if ((v = value("--define-macro"))) {
			flags.push_back(std::string("-D") + v);
		} else if ((v = value("--undefine-macro"))) {
			flags.push_back(std::string("-U") + v);
		} else if (o.size() > 2 && (!o.compare(0, 2, "-D") || !o.compare(0, 2, "-U"))) {
			flags.push_back(o);
		} else if (o == "--fmad=false" || o == "-fmad=false" || o == "--fmad=true" || o == "-fmad=true" ||
				   o == "-lineinfo" || o == "--generate-line-info" || o == "-default-device" ||
				   o == "--device-as-default-execution-space" || o == "--ptxas-options=-v" || o == "-w" ||
				   o == "--disable-warnings" || o == "--restrict" || o == "--extra-device-vectorization") {
			// This option has no effect here.
		} else {
			log += "unrecognized option " + o + "\n";
			return false;
		}
	}
	flags.push_back("-std=" + standard);
	flags.push_back("-D__CUDA_ARCH__=" + arch);
	return true;
}

int compile(Program &p, const std::vector<std::string> &options) {
	std::vector<std::string> preprocess = {"g++", "-E", "-x", "c++", "-nostdinc", "-undef", "-I.", "-DAHA_EMULATOR=1",
		format("-DAHA_EMU_ABI=%u", unsigned(AHA_EMU_ABI)), format("-DAHA_EMU_CHECKED=%d", check_wanted())};
	if (!translate(options, preprocess, p.log)) return NVRTC_INVALID_OPTION;
	std::string standard = preprocess[preprocess.size() - 2];
	preprocess.insert(preprocess.end(), {"-include", "aha/device.h", p.name, "-o", "aha/source.ii"});

	Folder folder;
	bool written = !folder.path.empty() && folder.add(p.name, p.source);
	for (const auto &h : p.headers) written = written && folder.add(h.first, h.second);
	for (const auto &h : device_headers) written = written && folder.add(std::string("aha/") + h.name, h.text);
	if (!written) {
		p.log += std::string("temporary files: ") + strerror(errno) + "\n";
		return NVRTC_INTERNAL_ERROR;
	}
	if (!execute(preprocess, folder.path, p.log)) return NVRTC_COMPILATION;
	std::string rewritten;
	if (!rewrite(read_file(folder.path + "/aha/source.ii"), rewritten, p.log)) return NVRTC_COMPILATION;
	if (!folder.add("aha/rewritten.ii", rewritten)) return NVRTC_INTERNAL_ERROR;

	// -ffp-contract=off: kernels call fma explicitly.
	std::vector<std::string> build = {"g++", "-x", "c++", "-fpreprocessed", standard, "-O2", "-g1", "-w", "-fPIC",
		"-shared", "-ffp-contract=off", "-fno-math-errno", "-fwrapv", "-fno-strict-aliasing", "-fvisibility=hidden",
		"-fno-gnu-unique", "-fstack-clash-protection", "-fno-exceptions", "-fno-rtti", "-fno-threadsafe-statics",
		"-fno-stack-protector", "-fno-asynchronous-unwind-tables", "-ffile-prefix-map=" + folder.path + "=."};
	if (has_fma()) build.push_back("-march=x86-64-v3");
	if (check_wanted()) {
		build.insert(build.end(), {"-fsanitize=thread", "--param=tsan-instrument-func-entry-exit=0",
									  "-fsanitize=bounds-strict,alignment,shift-exponent,integer-divide-by-zero"});
	}
	build.insert(build.end(),
		{"aha/rewritten.ii", "-o", "aha/kernels.so", "-nostartfiles", "-nodefaultlibs", "-lm", "-lc", "-lgcc"});
	if (!execute(build, folder.path, p.log)) return NVRTC_COMPILATION;
	p.cubin = read_file(folder.path + "/aha/kernels.so");
	return NVRTC_SUCCESS;
}

} // namespace

#define NVRTC_ENTER(NAME, FAILURE) \
	std::lock_guard<std::mutex> guard(compile_lock); \
	if (int code = injected(NAME, FAILURE)) return code
#define PROGRAM(P) \
	if (!programs.count(P)) return NVRTC_INVALID_PROGRAM

// nvrtcVersion differs by emulator, mode and instruction set, so that compiled
// kernels in the cache are never mistaken for each other.
EXPORT int nvrtcVersion(int *major, int *minor) {
	NVRTC_ENTER("nvrtcVersion", NVRTC_INTERNAL_ERROR);
	*major = 13;
	*minor = int(AHA_EMU_ABI % 100000) * 4 + check_wanted() * 2 + has_fma();
	return NVRTC_SUCCESS;
}

EXPORT const char *nvrtcGetErrorString(int code) {
	switch (code) {
	case NVRTC_SUCCESS: return "NVRTC_SUCCESS";
	case NVRTC_OUT_OF_MEMORY: return "NVRTC_ERROR_OUT_OF_MEMORY";
	case NVRTC_INVALID_INPUT: return "NVRTC_ERROR_INVALID_INPUT";
	case NVRTC_INVALID_PROGRAM: return "NVRTC_ERROR_INVALID_PROGRAM";
	case NVRTC_INVALID_OPTION: return "NVRTC_ERROR_INVALID_OPTION";
	case NVRTC_COMPILATION: return "NVRTC_ERROR_COMPILATION";
	case NVRTC_INTERNAL_ERROR: return "NVRTC_ERROR_INTERNAL_ERROR";
	}
	return "NVRTC_ERROR unknown";
}

EXPORT int nvrtcCreateProgram(Program **program, const char *source, const char *name, int count,
	const char *const *headers, const char *const *names) {
	NVRTC_ENTER("nvrtcCreateProgram", NVRTC_OUT_OF_MEMORY);
	if (!source || count < 0 || (count && (!headers || !names))) return NVRTC_INVALID_INPUT;
	auto *p = new Program;
	p->source = source;
	p->name = std::filesystem::path(name ? name : "").filename();
	if (p->name.empty()) p->name = "default_program";
	for (int i = 0; i < count; i++) p->headers.push_back({names[i], headers[i]});
	programs.insert(p);
	*program = p;
	return NVRTC_SUCCESS;
}

EXPORT int nvrtcDestroyProgram(Program **program) {
	NVRTC_ENTER("nvrtcDestroyProgram", NVRTC_INTERNAL_ERROR);
	PROGRAM(*program);
	programs.erase(*program);
	delete *program;
	*program = nullptr;
	return NVRTC_SUCCESS;
}

EXPORT int nvrtcCompileProgram(Program *program, int count, const char *const *options) {
	{
		NVRTC_ENTER("nvrtcCompileProgram", NVRTC_COMPILATION);
		PROGRAM(program);
	}
	program->log.clear(); // without the lock, since programs may be compiled at the same time
	program->cubin.clear();
	return compile(*program, std::vector<std::string>(options, options + count));
}

EXPORT int nvrtcGetProgramLogSize(Program *program, size_t *size) {
	NVRTC_ENTER("nvrtcGetProgramLogSize", NVRTC_INTERNAL_ERROR);
	PROGRAM(program);
	*size = program->log.size() + 1;
	return NVRTC_SUCCESS;
}

EXPORT int nvrtcGetProgramLog(Program *program, char *log) {
	NVRTC_ENTER("nvrtcGetProgramLog", NVRTC_INTERNAL_ERROR);
	PROGRAM(program);
	memcpy(log, program->log.c_str(), program->log.size() + 1);
	return NVRTC_SUCCESS;
}

EXPORT int nvrtcGetCUBINSize(Program *program, size_t *size) {
	NVRTC_ENTER("nvrtcGetCUBINSize", NVRTC_INTERNAL_ERROR);
	PROGRAM(program);
	*size = program->cubin.size();
	return NVRTC_SUCCESS;
}

EXPORT int nvrtcGetCUBIN(Program *program, char *cubin) {
	NVRTC_ENTER("nvrtcGetCUBIN", NVRTC_INTERNAL_ERROR);
	PROGRAM(program);
	memcpy(cubin, program->cubin.data(), program->cubin.size());
	return NVRTC_SUCCESS;
}
