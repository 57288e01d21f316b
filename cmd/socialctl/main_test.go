package main

import (
	"fmt"
	"os"
	"regexp"
	"sync/atomic"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"socialctl/sharding/shardingtest"
)

// The scripts call the program as a process of its own, by the name it has.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"socialctl": main})
}

// TestScripts runs every file of testdata/script, each in an empty folder, in
// parallel, with none of the caller's environment. What an operator types goes
// there: add a file named for the command, and it runs.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds:                scriptCommands,
	})
}

var scripts atomic.Int64

// TestScriptsOnRealServers runs every file of testdata/servers. Each finds the
// addresses of the servers in $MYSQL_A, $MYSQL_B, $REDIS and $HBASE, and in
// $PREFIX the beginning of the schemas' names that it may use.
func TestScriptsOnRealServers(t *testing.T) {
	if testing.Short() {
		return
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/servers",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds:                scriptCommands,
		Setup: func(env *testscript.Env) error {
			prefix := fmt.Sprintf("cli%d_%d", os.Getpid(), scripts.Add(1))
			for variable, service := range map[string]string{"MYSQL_A": "SOCIALCTL_TEST_MYSQL_A", "MYSQL_B": "SOCIALCTL_TEST_MYSQL_B",
				"REDIS": "SOCIALCTL_TEST_REDIS", "HBASE": "SOCIALCTL_TEST_HBASE"} {
				address := shardingtest.Service(t, service)
				env.Setenv(variable, address)
				if regexp.MustCompile(`^MYSQL`).MatchString(variable) {
					env.Defer(func() { shardingtest.Drop(t, address, prefix) })
				}
			}
			env.Setenv("PREFIX", prefix)
			return nil
		},
	})
}
