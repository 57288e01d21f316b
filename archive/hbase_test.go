package archive

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/tsuna/gohbase"
	"golang.org/x/sync/errgroup"
)

// hbaseAddress returns the address of the HBase to test against, without a table: from the environment, or from the
// file that scripts/services writes. Without one the test fails; nothing is skipped in silence.
func hbaseAddress(t *testing.T) string {
	t.Helper()
	const variable = "SOCIALCTL_TEST_HBASE"
	if address := os.Getenv(variable); address != "" {
		return strings.TrimRight(address, "/")
	}
	folder := os.Getenv("SOCIALCTL_SERVICES_DIR")
	if folder == "" {
		top, err := os.Getwd()
		for err == nil {
			if _, err := os.Stat(filepath.Join(top, "go.mod")); err == nil {
				break
			}
			if top == filepath.Dir(top) {
				t.Fatal("no go.mod above the test")
			}
			top = filepath.Dir(top)
		}
		folder = filepath.Join(top, ".services")
	}
	lines, err := os.ReadFile(filepath.Join(folder, "env"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(lines)) {
		if address, ok := strings.CutPrefix(strings.TrimSpace(line), variable+"="); ok {
			return strings.TrimRight(address, "/")
		}
	}
	t.Fatalf("this test needs HBase: run 'make services', or set %s", variable)
	return ""
}

// openTable opens a table of the real HBase and creates it when missing.
func openTable(t *testing.T, table string) *HBase {
	t.Helper()
	h, err := OpenHBase(t.Context(), hbaseAddress(t)+"/"+table)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	if err := h.Probe(ctx, ProbeOptions{Create: true}); err != nil {
		t.Fatal(err)
	}
	return h
}

// scripts/services runs this test to learn whether HBase is ready.
func TestHBaseProbe(t *testing.T) {
	if testing.Short() {
		t.Log("needs HBase, not reached with -short")
		return
	}
	h := openTable(t, "socialctl_probe")
	rows, err := h.scan(t.Context(), nil, nil, 10)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		if !bytes.HasPrefix(r.key, make([]byte, 9)) {
			t.Errorf("the probe left the key %q, which could be in a timeline", r.key)
		}
	}

	missing, err := OpenHBase(t.Context(), hbaseAddress(t)+"/socialctl_missing")
	if err != nil {
		t.Fatal(err)
	}
	defer missing.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := missing.Probe(ctx, ProbeOptions{}); !errors.Is(err, ErrNoTable) {
		t.Errorf("probe of a missing table: %v, want ErrNoTable", err)
	}
}

func TestHBaseRows(t *testing.T) {
	if testing.Short() {
		t.Log("needs HBase, not reached with -short")
		return
	}
	h := openTable(t, "socialctl_test_rows")
	ctx := t.Context()

	// Each run has a range of its own, so that runs beside each other and rows left behind do no harm.
	prefix := binary.BigEndian.AppendUint64([]byte{0x7f}, uint64(time.Now().UnixNano()))
	end := append(bytes.Clone(prefix), 0xff)
	key := func(n int) []byte { return binary.BigEndian.AppendUint32(bytes.Clone(prefix), uint32(n)) }

	t.Run("put again after a delete is visible", func(t *testing.T) {
		for round := range 20 {
			want := fmt.Appendf(nil, "round %d", round)
			if err := h.put(ctx, row{key(0), want}); err != nil {
				t.Fatal(err)
			}
			got, found, err := h.get(ctx, key(0))
			if err != nil || !found || !bytes.Equal(got, want) {
				t.Fatalf("round %d: got %q, %v, %v; want %q", round, got, found, err, want)
			}
			if err := h.delete(ctx, key(0)); err != nil {
				t.Fatal(err)
			}
			if got, found, err := h.get(ctx, key(0)); err != nil || found {
				t.Fatalf("round %d: after the delete: got %q, %v, %v; want nothing", round, got, found, err)
			}
		}
	})

	t.Run("concurrent puts come back in key order", func(t *testing.T) {
		const n = 2000
		var puts errgroup.Group
		for i := range n {
			// Reversed, so that the order of arrival is not the order of the keys.
			puts.Go(func() error { return h.put(ctx, row{key(n - i), fmt.Appendf(nil, "value %d", n-i)}) })
		}
		if err := puts.Wait(); err != nil {
			t.Fatal(err)
		}
		rows, err := h.scan(ctx, prefix, end, n+1)
		if err != nil {
			t.Fatal(err)
		}
		if len(rows) != n {
			t.Fatalf("the scan found %d rows, want %d", len(rows), n)
		}
		for i, r := range rows {
			if want := fmt.Sprintf("value %d", i+1); !bytes.Equal(r.key, key(i+1)) || string(r.value) != want {
				t.Fatalf("row %d: key %x, value %q; want key %x, value %q", i, r.key, r.value, key(i+1), want)
			}
		}
		page, err := h.scan(ctx, key(1000), end, 20)
		if err != nil || len(page) != 20 || !bytes.Equal(page[0].key, key(1000)) {
			t.Fatalf("a page of 20 from key 1000: %d rows, %v", len(page), err)
		}

		var deletes errgroup.Group
		for i := range n {
			deletes.Go(func() error { return h.delete(ctx, key(i+1)) })
		}
		if err := deletes.Wait(); err != nil {
			t.Fatal(err)
		}
		if rows, err := h.scan(ctx, prefix, end, 1); err != nil || len(rows) > 0 {
			t.Fatalf("after the deletes: %d rows, %v", len(rows), err)
		}
	})
}

// A starting HBase can show an empty node in ZooKeeper, at which gohbase by itself ends the process.
func TestHBaseSurvivesAnEmptyNode(t *testing.T) {
	if testing.Short() {
		t.Log("needs HBase, not reached with -short")
		return
	}
	h, err := OpenHBase(t.Context(), hbaseAddress(t)+"/socialctl_probe")
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()

	zookeeper, _, err := zk.Connect(strings.Split(h.quorum, ","), 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer zookeeper.Close()
	root := fmt.Sprintf("/socialctl-test-%d", time.Now().UnixNano())
	for _, node := range []string{root, root + "/meta-region-server"} {
		if _, err := zookeeper.Create(node, nil, 0, zk.WorldACL(zk.PermAll)); err != nil {
			t.Fatal(err)
		}
		defer zookeeper.Delete(node, -1)
	}

	lost := gohbase.NewClient(h.quorum, append(clientOptions(), gohbase.ZookeeperRoot(root))...)
	h.client.Close()
	h.client = lost
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, _, err := h.get(ctx, []byte("key")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("get: %v, want a deadline exceeded", err)
	}
}

func TestHBaseAwayEndsWithTheDeadline(t *testing.T) {
	// Port 1 of this machine: nobody is there.
	h, err := OpenHBase(t.Context(), "hbase://127.0.0.1:1/socialctl_probe")
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	begun := time.Now()
	if err := h.Probe(ctx, ProbeOptions{Create: true}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("probe: %v, want a deadline exceeded", err)
	}
	if took := time.Since(begun); took > 3*time.Second {
		t.Errorf("the probe took %v", took)
	}
}

func TestParseAddress(t *testing.T) {
	for _, c := range []struct{ address, quorum, table string }{
		{"hbase://127.0.0.1:2181/timeline", "127.0.0.1:2181", "timeline"},
		{"hbase://zk1:2181,zk2:2181,zk3:2182/ns:timeline", "zk1:2181,zk2:2181,zk3:2182", "ns:timeline"},
		{"hbase://[::1]:2181/a.b-c_d", "[::1]:2181", "a.b-c_d"},
	} {
		quorum, table, err := parseAddress(c.address)
		if err != nil || quorum != c.quorum || table != c.table {
			t.Errorf("%s: %q, %q, %v", c.address, quorum, table, err)
		}
	}
	for _, address := range []string{
		"", "hbase://", "127.0.0.1:2181/timeline", "http://127.0.0.1:2181/timeline",
		"hbase://127.0.0.1:2181", "hbase://127.0.0.1:2181/", "hbase://127.0.0.1/timeline",
		"hbase://127.0.0.1:99999/timeline", "hbase://:2181/timeline", "hbase://a:1,,b:1/timeline",
		"hbase://a:1/two/parts", "hbase://a:1/t?x=1", "hbase://a:1/.hidden",
	} {
		if quorum, table, err := parseAddress(address); err == nil {
			t.Errorf("%q was taken as %q, %q", address, quorum, table)
		}
	}
}
