// Package admin holds the operators' jobs: what runs over many users, or looks at anything where it lies.
//
// It owns the one skeleton of a long job (job.go): lock, pace, progress, dry run, time budget, report. It promises that a
// job stopped or killed anywhere can be run again. It refuses to know flags, terminals and formats: results are structs.
package admin
