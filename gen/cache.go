package gen

import (
	"os"
	"path/filepath"
)

// CacheDir returns the directory of the cache that the command uses:
// $TASKGENCACHE, which may be "off", or one in the user's cache directory.
func CacheDir() string {
	switch dir := os.Getenv("TASKGENCACHE"); dir {
	case "off":
		return ""
	case "":
		base, err := os.UserCacheDir()
		if err != nil {
			return ""
		}
		return filepath.Join(base, "taskgen")
	default:
		return dir
	}
}
