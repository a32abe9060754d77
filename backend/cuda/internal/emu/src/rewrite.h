#pragma once

#include <string>

namespace emu {

// rewrite turns preprocessed CUDA C++ into C++: __global__ functions get a
// description that the emulator finds by name, static shared memory becomes static
// variables, and dynamic shared memory a pointer. Lines stay where they are. It
// returns false, with the reason added to log, for what it does not know.
bool rewrite(const std::string &source, std::string &out, std::string &log);

} // namespace emu
