package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// family returns the ids of a process and its children, such as nginx's workers.
func family(pid int) []int {
	pids := []int{pid}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, stat := range stats {
		fields := statOf(stat)
		if len(fields) > 3 && string(fields[3]) == strconv.Itoa(pid) {
			child, err := strconv.Atoi(string(fields[0]))
			check(err)
			pids = append(pids, child)
		}
	}
	return pids
}

// statOf returns the fields of proc_pid_stat(5). The program's name, which may
// contain blanks, is one field.
func statOf(path string) [][]byte {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil // the process has ended
	}
	head, tail, _ := bytes.Cut(content, []byte(" ("))
	end := bytes.LastIndexByte(tail, ')')
	return append([][]byte{head, tail[:end]}, bytes.Fields(tail[end+1:])...)
}

const clockTick = time.Second / 100 // USER_HZ, which is 100 on every Linux

// cpu returns the CPU time that a process and its children have used.
func cpu(pid int) (total time.Duration) {
	for _, p := range family(pid) {
		fields := statOf(fmt.Sprintf("/proc/%d/stat", p))
		if len(fields) < 15 {
			continue
		}
		for _, field := range fields[13:15] { // utime, stime
			ticks, err := strconv.Atoi(string(field))
			check(err)
			total += time.Duration(ticks) * clockTick
		}
	}
	return total
}

// memory returns the resident memory of a process and its children in MiB. The
// field is VmRSS, or VmHWM for the peak since resetPeak.
func memory(pid int, field string) (total float64) {
	for _, p := range family(pid) {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p))
		if err != nil {
			continue
		}
		for line := range bytes.Lines(status) {
			if value, found := bytes.CutPrefix(line, []byte(field+":")); found {
				kib, err := strconv.Atoi(string(bytes.Fields(value)[0]))
				check(err)
				total += float64(kib) / 1024
			}
		}
	}
	return total
}

func resetPeak(pid int) {
	for _, p := range family(pid) {
		_ = os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", p), []byte("5"), 0o200)
	}
}
