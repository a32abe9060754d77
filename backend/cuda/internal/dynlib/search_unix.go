//go:build !windows

package dynlib

import (
	"os"
	"path/filepath"
)

// ToolkitPlaces returns the folders in which a library of the CUDA toolkit may
// be: those of an installed toolkit, and those of pip's packages. wheel is the
// folder of the library's pip package for CUDA 12, such as "cuda_nvrtc".
func ToolkitPlaces(wheel string) []Place {
	toolkit := []string{"lib64", "lib", "targets/*/lib"}
	wheels := []string{"nvidia/cu13/lib", "nvidia/" + wheel + "/lib"}
	var pip []string
	for _, w := range wheels {
		pip = append(pip, filepath.Join("lib/python3*/site-packages", w))
	}
	user := os.Getenv("PYTHONUSERBASE")
	if home, err := os.UserHomeDir(); user == "" && err == nil {
		user = filepath.Join(home, ".local")
	}
	places := env("CUDA_HOME", toolkit...)
	places = append(places, env("CUDA_PATH", toolkit...)...)
	places = append(places, under("", "/usr/local", "cuda/lib64", "cuda-*/lib64", "cuda*/targets/*/lib")...)
	places = append(places, env("VIRTUAL_ENV", pip...)...)
	places = append(places, env("CONDA_PREFIX", append([]string{"lib", "targets/*/lib"}, pip...)...)...)
	return append(places, under("the home folder", user, pip...)...)
}

// DriverPlaces returns the folders in which the driver's library may be and
// that the loader does not search.
func DriverPlaces() []Place {
	return []Place{
		{"", "/usr/lib/wsl/lib"},       // Windows Subsystem for Linux
		{"", "/run/opengl-driver/lib"}, // NixOS
	}
}
