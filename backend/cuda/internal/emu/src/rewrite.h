#pragma once

#include <string>

namespace emu {

// rewrite turns preprocessed CUDA C++ into C++: __global__ functions get a
// description that the emulator finds by name, static shared memory becomes
// static variables, and dynamic shared memory a pointer. Line numbers do not
// change. For input that it does not know, it adds the reason to log and
// returns false.
bool rewrite(const std::string &source, std::string &out, std::string &log);

} // namespace emu
