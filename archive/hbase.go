package archive

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/tsuna/gohbase"
	"github.com/tsuna/gohbase/hrpc"
	"github.com/tsuna/gohbase/pb"
)

const (
	// callTimeout bounds every single call, however long the caller's context lasts: gohbase tries again until its
	// context ends, and ten lost seconds are a lost page anyway.
	callTimeout = 5 * time.Second

	// createTimeout bounds the creation of a table, which waits for every region to be assigned.
	createTimeout = 60 * time.Second

	// With these, 1,000 puts in flight at once reach 87,000 a second, and a lone one waits for 2 ms.
	rpcQueueSize  = 500
	flushInterval = 2 * time.Millisecond

	// A row has one cell. Both names are repeated in every cell that HBase stores, and so as short as can be.
	family    = "e"
	qualifier = "e"
)

// ErrNoTable says that HBase is there and does not have the table.
var ErrNoTable = errors.New("the table does not exist")

// tableName is what HBase accepts; a name before a colon is a namespace.
var tableName = regexp.MustCompile(`^([A-Za-z0-9_]+:)?[A-Za-z0-9_][A-Za-z0-9_.-]*$`)

// HBase is a table of HBase, open for reading and writing. It may be used by many goroutines at once, and should be:
// calls made at the same time travel together. Close it after use.
type HBase struct {
	quorum string
	table  string
	client gohbase.Client

	// admin talks to the master. It is made when first needed, and its one connection, or its search for a master that
	// is away, lasts as long as the process, because gohbase has no way to close it.
	adminOnce sync.Once
	admin     gohbase.AdminClient
}

// row is a key and its value, as they are stored.
type row struct {
	key, value []byte
}

// OpenHBase opens the table that the address names: hbase://HOST:PORT[,HOST:PORT …]/TABLE, where the hosts are those
// of ZooKeeper. It does not wait for HBase, so that a server can start while HBase is away; Probe does.
func OpenHBase(ctx context.Context, address string) (*HBase, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("open archive: %w", err)
	}
	quorum, table, err := parseAddress(address)
	if err != nil {
		return nil, err
	}
	routeLogs()
	return &HBase{
		quorum: quorum,
		table:  table,
		client: gohbase.NewClient(quorum, clientOptions()...),
	}, nil
}

// Close gives up the connections to the region servers. Calls under way end with an error.
func (h *HBase) Close() error {
	h.client.Close()
	return nil
}

// ProbeOptions says how far Probe may go.
type ProbeOptions struct {
	// Create makes the table when it is missing.
	Create bool
}

// Probe proves that the table can be used: it puts a row, reads it, scans it, deletes it, and sees that it is gone.
// While that fails it tries again, because a starting HBase listens, and answers, long before it works; the context
// says for how long, and every call within has a deadline of its own. The error is that of the last try, and
// ErrNoTable at once when the master says that the table does not exist and Create is not set.
func (h *HBase) Probe(ctx context.Context, o ProbeOptions) error {
	pause := 50 * time.Millisecond
	for {
		err := h.probeOnce(ctx, o)
		if err == nil || errors.Is(err, ErrNoTable) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("HBase at %s is not ready: %w", h.quorum, err)
		case <-time.After(pause):
			pause = min(2*pause, time.Second)
		}
	}
}

func (h *HBase) probeOnce(ctx context.Context, o ProbeOptions) error {
	err := h.probeRow(ctx)
	if !errors.Is(err, gohbase.TableNotFound) {
		return err
	}
	// The index of regions knows no such table, which is also what a starting HBase says; the master knows better.
	exists, masterErr := h.tableExists(ctx)
	switch {
	case masterErr != nil:
		return masterErr
	case exists:
		return err
	case !o.Create:
		return fmt.Errorf("HBase at %s: table %s: %w", h.quorum, h.table, ErrNoTable)
	}
	if err := h.createTable(ctx); err != nil {
		return err
	}
	return h.probeRow(ctx)
}

func (h *HBase) probeRow(ctx context.Context) error {
	// The row is among those of user 0, whom nobody is, so that one left behind by a kill is in no timeline.
	probe := row{key: append(make([]byte, 9), "probe "+rand.Text()...), value: []byte("probe")}
	if err := h.put(ctx, probe); err != nil {
		return err
	}
	value, _, err := h.get(ctx, probe.key)
	if err != nil {
		return err
	}
	if !bytes.Equal(value, probe.value) {
		return fmt.Errorf("get: %q came back where %q was put", value, probe.value)
	}
	rows, err := h.scan(ctx, probe.key, append(bytes.Clone(probe.key), 0), 2)
	if err != nil {
		return err
	}
	if len(rows) != 1 || !bytes.Equal(rows[0].key, probe.key) {
		return fmt.Errorf("scan: %d rows came back where one was put", len(rows))
	}
	if err := h.delete(ctx, probe.key); err != nil {
		return err
	}
	_, found, err := h.get(ctx, probe.key)
	if err == nil && found {
		err = errors.New("delete: the row is still there")
	}
	return err
}

func clientOptions() []gohbase.Option {
	return []gohbase.Option{
		gohbase.RpcQueueSize(rpcQueueSize),
		gohbase.FlushInterval(flushInterval),
		gohbase.RegionLookupTimeout(callTimeout),
		gohbase.RegionReadTimeout(2 * callTimeout),
		gohbase.EffectiveUser("socialctl"),
	}
}

// parseAddress is written by hand because net/url refuses more than one host.
func parseAddress(address string) (quorum, table string, err error) {
	rest, ok := strings.CutPrefix(address, "hbase://")
	if !ok {
		return "", "", fmt.Errorf("archive address %q does not begin with hbase://", address)
	}
	quorum, table, _ = strings.Cut(rest, "/")
	for host := range strings.SplitSeq(quorum, ",") {
		name, port, err := net.SplitHostPort(host)
		if err == nil {
			_, err = strconv.ParseUint(port, 10, 16)
		}
		if err != nil || name == "" {
			return "", "", fmt.Errorf("archive address %q: %q is not HOST:PORT", address, host)
		}
	}
	if !tableName.MatchString(table) {
		return "", "", fmt.Errorf("archive address %q: %q cannot be the name of a table "+
			"(wanted: hbase://HOST:PORT/TABLE)", address, table)
	}
	return quorum, table, nil
}

// createTable creates the table, split at the keys given. A table that is there already is left as it is, which is
// not an error.
func (h *HBase) createTable(ctx context.Context, splits ...[]byte) error {
	if strings.Contains(h.table, ":") {
		return fmt.Errorf("create table %s: the client can create tables in the default namespace only; "+
			"create it in the HBase shell: create '%s', {NAME => '%s', VERSIONS => 1}", h.table, h.table, family)
	}
	request := func(ctx context.Context) error {
		return h.master().CreateTable(hrpc.NewCreateTable(ctx, []byte(h.table),
			map[string]map[string]string{family: {"VERSIONS": "1"}}, hrpc.SplitKeys(splits)))
	}
	err := call(ctx, createTimeout, "create table "+h.table, request)
	if err != nil && strings.Contains(err.Error(), "TableExistsException") {
		return nil
	}
	return err
}

// tableExists asks the master, who knows better than the index of regions: that one has no table yet while HBase is
// starting.
func (h *HBase) tableExists(ctx context.Context) (bool, error) {
	var names []*pb.TableName
	err := call(ctx, callTimeout, "list tables", func(ctx context.Context) error {
		request, err := hrpc.NewListTableNames(ctx, hrpc.ListRegex(regexp.QuoteMeta(h.table)))
		if err != nil {
			return err
		}
		names, err = h.master().ListTableNames(request)
		return err
	})
	return len(names) > 0, err
}

func (h *HBase) master() gohbase.AdminClient {
	h.adminOnce.Do(func() { h.admin = gohbase.NewAdminClient(h.quorum, clientOptions()...) })
	return h.admin
}

// put stores a row; when it returns, the row is in a log that has been synced.
func (h *HBase) put(ctx context.Context, r row) error {
	return call(ctx, callTimeout, "put", func(ctx context.Context) error {
		// No timestamp of ours: a row put again with the timestamp of before stays hidden behind a delete.
		request, err := hrpc.NewPut(ctx, []byte(h.table), r.key,
			map[string]map[string][]byte{family: {qualifier: r.value}}, hrpc.Durability(hrpc.SyncWal))
		if err != nil {
			return err
		}
		_, err = h.client.Put(request)
		return err
	})
}

// get returns the value of a row, and false when there is none.
func (h *HBase) get(ctx context.Context, key []byte) (value []byte, found bool, err error) {
	err = call(ctx, callTimeout, "get", func(ctx context.Context) error {
		request, err := hrpc.NewGet(ctx, []byte(h.table), key)
		if err != nil {
			return err
		}
		result, err := h.client.Get(request)
		if err != nil {
			return err
		}
		if found = len(result.Cells) > 0; found {
			value = result.Cells[0].Value
		}
		return nil
	})
	return value, found, err
}

// delete removes a row, whether it is there or not.
func (h *HBase) delete(ctx context.Context, key []byte) error {
	return call(ctx, callTimeout, "delete", func(ctx context.Context) error {
		request, err := hrpc.NewDel(ctx, []byte(h.table), key, nil, hrpc.Durability(hrpc.SyncWal))
		if err != nil {
			return err
		}
		_, err = h.client.Delete(request)
		return err
	})
}

// scan returns the first rows, limit of them at most, whose keys are from ≤ key < until, in the order of their keys.
// No until means to the end of the table.
func (h *HBase) scan(ctx context.Context, from, until []byte, limit int) (rows []row, err error) {
	err = call(ctx, callTimeout, "scan", func(ctx context.Context) error {
		request, err := hrpc.NewScanRange(ctx, []byte(h.table), from, until, hrpc.NumberOfRows(uint32(limit)))
		if err != nil {
			return err
		}
		scanner := h.client.Scan(request)
		defer scanner.Close()
		for len(rows) < limit {
			result, err := scanner.Next()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			if cells := result.Cells; len(cells) > 0 {
				rows = append(rows, row{bytes.Clone(cells[0].Row), bytes.Clone(cells[0].Value)})
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return rows, nil
}

// call runs one call of gohbase under a deadline of its own, and turns what should not leave here into errors: panics,
// and Java stack traces, of which the first line says everything.
func call(ctx context.Context, timeout time.Duration, what string, f func(context.Context) error) (err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%s: gohbase panicked: %v", what, p)
		}
	}()
	err = f(ctx)
	switch {
	case err == nil:
		return nil
	default:
		return fmt.Errorf("%s: %w", what, shortError{err})
	}
}

// shortError hides the lines of a stack trace, and keeps the error itself for errors.Is.
type shortError struct{ error }

func (e shortError) Unwrap() error { return e.error }

func (e shortError) Error() string {
	lines := strings.SplitN(e.error.Error(), "\n", 3)
	return strings.Join(lines[:min(len(lines), 2)], " ")
}

// routeLogs sends what gohbase logs, from warnings up, to slog. It logs through the one logger that logrus has for the
// whole process; nothing else here uses it.
var routeLogs = sync.OnceFunc(func() {
	logger := logrus.StandardLogger()
	logger.SetLevel(logrus.WarnLevel)
	logger.SetOutput(io.Discard)
	logger.AddHook(logHook{})
	// gohbase ends the process when ZooKeeper has an empty node, which a starting HBase may show. It does so in a
	// goroutine that looks an address up and has no other task, so ending that one alone is enough: the look-up then
	// times out and is tried again.
	logger.ExitFunc = func(int) { runtime.Goexit() }
})

type logHook struct{}

func (logHook) Levels() []logrus.Level { return logrus.AllLevels[:logrus.WarnLevel+1] }

func (logHook) Fire(e *logrus.Entry) error {
	// What gohbase calls an error, or fatal, it tries again: for us it is a warning, and the call that suffers from it
	// ends with an error of its own.
	attributes := make([]slog.Attr, 0, len(e.Data))
	for key, value := range e.Data {
		if err, ok := value.(error); ok {
			value = shortError{err}.Error()
		}
		attributes = append(attributes, slog.Any(key, value))
	}
	slices.SortFunc(attributes, func(a, b slog.Attr) int { return strings.Compare(a.Key, b.Key) })
	slog.LogAttrs(context.Background(), slog.LevelWarn, "hbase: "+e.Message, attributes...)
	return nil
}
