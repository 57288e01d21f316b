package admin

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"socialctl/configs"
	"socialctl/sharding"
)

// examineServer looks at one MySQL or MariaDB server.
func examineServer(ctx context.Context, name string, db configs.Database, e *examination) {
	facts, err := sharding.ProbeServer(ctx, name, sharding.DatabaseOptions{DSN: db.DSN, MaxConns: db.MaxConns})
	if err != nil {
		e.away(err, partPatience, "start the server, or correct databases."+name+".dsn")
		return
	}
	e.ok("reach", "answers in %v", facts.RoundTrip.Round(10*time.Microsecond))
	e.version(facts.Version)
	e.durability(facts.Variables)
	if strings.Contains(facts.SQLMode, "STRICT_ALL_TABLES") {
		e.ok("sql_mode", "strict in the sessions of this program; the server's own is %s", facts.Variables["sql_mode"])
	} else {
		e.problem("sql_mode", "a session asked for a strict mode and has "+facts.SQLMode,
			"something between here and the server drops session settings: connect to it directly")
	}
	e.ok("character set", "the server's default is %s with %s; tables name their own, utf8mb4 with utf8mb4_bin",
		facts.Variables["character_set_server"], facts.Variables["collation_server"])
	e.room(facts.Variables, name, db.MaxConns)
	e.clock(facts.ClockDiff, facts.RoundTrip)
}

var versionNumber = regexp.MustCompile(`^(\d+)\.(\d+)`)

// version knows MySQL from 8.0 and MariaDB from 10.6 on: before, SKIP LOCKED and row constructors are missing.
func (e *examination) version(text string) {
	kind, major, minor := "MySQL", 8, 0
	if strings.Contains(text, "MariaDB") {
		kind, major, minor = "MariaDB", 10, 6
	}
	parts := versionNumber.FindStringSubmatch(text)
	if parts == nil {
		e.warn("version", text, "this program knows MySQL 8 and MariaDB 10.6 and later")
		return
	}
	has, _ := strconv.Atoi(parts[1])
	hasMinor, _ := strconv.Atoi(parts[2])
	if has < major || has == major && hasMinor < minor {
		e.problem("version", kind+" "+text, fmt.Sprintf("upgrade to %s %d.%d or later", kind, major, minor))
		return
	}
	e.ok("version", "%s %s", kind, text)
}

// durability looks for settings under which an acknowledged write does not survive a power cut (REVIEW F12).
func (e *examination) durability(v map[string]string) {
	flush := v["innodb_flush_log_at_trx_commit"]
	if flush == "1" {
		e.ok("innodb_flush_log_at_trx_commit", "1: every commit is on disk")
	} else {
		e.problem("innodb_flush_log_at_trx_commit", flush+": a power cut loses commits that were acknowledged",
			"SET GLOBAL innodb_flush_log_at_trx_commit = 1, and in the server's configuration")
	}
	binlog, sync := v["log_bin"], v["sync_binlog"]
	switch {
	case binlog != "ON" && binlog != "1":
		e.ok("sync_binlog", "no binary log is written")
	case sync == "1":
		e.ok("sync_binlog", "1: the binary log is on disk with every commit")
	default:
		e.problem("sync_binlog", sync+": after a power cut replicas may hold transactions that this server has lost, or lack some",
			"SET GLOBAL sync_binlog = 1, and in the server's configuration")
	}
	if v["read_only"] == "ON" || v["read_only"] == "1" {
		e.problem("read_only", "the server takes no writes", "point databases at the primary, or SET GLOBAL read_only = OFF")
	}
}

// room compares what the server grants with what this program may ask for.
func (e *examination) room(v map[string]string, name string, conns int) {
	most, err := strconv.Atoi(v["max_connections"])
	if err == nil && most < 2*conns {
		e.warn("max_connections", fmt.Sprintf("%d, and each process of this program may open %d", most, conns),
			fmt.Sprintf("raise max_connections, or lower databases.%s.max_conns", name))
	} else {
		e.ok("max_connections", "%d; each process of this program opens at most %d", most, conns)
	}
	const least = 4 << 20 // of the largest statement, with plenty to spare
	if packet, err := strconv.Atoi(v["max_allowed_packet"]); err == nil && packet < least {
		e.problem("max_allowed_packet", fmt.Sprintf("%d bytes", packet), "set it to 16M or more")
	}
}
