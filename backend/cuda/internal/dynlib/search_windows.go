package dynlib

import "path/filepath"

// ToolkitPlaces returns the folders in which a library of the CUDA toolkit may
// be: those of an installed toolkit, and those of pip's packages. wheel is the
// folder of the library's pip package for CUDA 12, such as "cuda_nvrtc".
func ToolkitPlaces(wheel string) []Place {
	toolkit := []string{`bin`, `bin\x64`}
	wheels := []string{`nvidia\cu13\bin\x86_64`, `nvidia\` + wheel + `\bin`}
	var venv, user []string
	for _, w := range wheels {
		venv = append(venv, filepath.Join(`Lib\site-packages`, w))
		user = append(user, filepath.Join(`Python\Python3*\site-packages`, w))
	}
	installed := []string{
		`NVIDIA GPU Computing Toolkit\CUDA\v*\bin`,
		`NVIDIA GPU Computing Toolkit\CUDA\v*\bin\x64`,
	}
	places := env("CUDA_HOME", toolkit...)
	places = append(places, env("CUDA_PATH", toolkit...)...)
	places = append(places, env("ProgramFiles", installed...)...)
	places = append(places, env("VIRTUAL_ENV", venv...)...)
	places = append(places, env("CONDA_PREFIX", append([]string{`Library\bin`, `Library\bin\x64`}, venv...)...)...)
	places = append(places, env("APPDATA", user...)...)
	return append(places, env("SystemRoot", "System32")...)
}

// DriverPlaces returns the folder of the driver's library.
func DriverPlaces() []Place { return env("SystemRoot", "System32") }
