package main

import (
	"encoding/json"
	"os/exec"
)

// goEnv is the go command's own environment, which a script's would hide.
var goEnv = func() map[string]string {
	vars := map[string]string{}
	out, err := exec.Command("go", "env", "-json", "GOCACHE", "GOMODCACHE").Output()
	if err == nil {
		err = json.Unmarshal(out, &vars)
	}
	if err != nil {
		panic(err)
	}
	return vars
}()
