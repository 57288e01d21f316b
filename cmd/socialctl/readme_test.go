package main

import (
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"socialctl/sharding/shardingtest"
)

// buildProgram makes the program as the README says, into a folder of the test's.
func buildProgram(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", dir, "./cmd/socialctl")
	cmd.Dir = shardingtest.Root(t)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return filepath.Join(dir, "socialctl")
}

// freeAddr is a loopback address that nobody listens on.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// awaitReady waits until the server answers, and returns how long that took.
func awaitReady(t *testing.T, addr string) time.Duration {
	t.Helper()
	began := time.Now()
	for time.Since(began) < 20*time.Second {
		answer, err := http.Get("http://" + addr + "/readyz")
		if err == nil {
			_ = answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return time.Since(began)
			}
		}
		select {
		case <-t.Context().Done():
		case <-time.After(5 * time.Millisecond):
		}
	}
	t.Fatalf("%s does not get ready", addr)
	return 0
}

// TestTheReadmesWalkPrintsWhatItSays runs the walk from the README's own text, in an empty folder.
func TestTheReadmesWalkPrintsWhatItSays(t *testing.T) {
	program := buildProgram(t)
	page, err := os.ReadFile(filepath.Join(shardingtest.Root(t), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, walk, ok := strings.Cut(string(page), "## A walk through the API")
	if !ok {
		t.Fatal("the README has no walk")
	}
	walk, _, _ = strings.Cut(walk, "\n## ")
	var script, want strings.Builder
	for i, block := range strings.Split(walk, "```") {
		if i%2 == 0 {
			continue
		}
		kind, text, _ := strings.Cut(block, "\n")
		switch kind {
		case "sh":
			script.WriteString(text)
		case "text":
			want.WriteString(text)
		}
	}
	addr := freeAddr(t)
	serve := exec.Command(program, "serve", "--addr", addr, "--metrics-addr", "127.0.0.1:0")
	serve.Dir = t.TempDir()
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = serve.Process.Signal(syscall.SIGTERM)
		if err := serve.Wait(); err != nil {
			t.Errorf("serve ended with %v", err)
		}
	})
	t.Logf("ready after %s", awaitReady(t, addr))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	bash := exec.CommandContext(ctx, "bash", "-c", script.String())
	bash.Env = append(os.Environ(), "A=http://"+addr)
	out, err := bash.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if got := string(out); got != want.String() {
		t.Fatalf("the walk printed\n%s\nand the README says\n%s", got, want.String())
	}
}
