// A plugin on the stub that real Go plugins are built on. It adjusts containers
// as annotations of their pods say, and writes each event to a file.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"

	"github.com/containerd/nri/pkg/api"
	"github.com/containerd/nri/pkg/stub"
)

type plugin struct {
	mutex sync.Mutex
	log   string
}

func (p *plugin) note(event string, pod *api.PodSandbox, container *api.Container) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if p.log == "" {
		return
	}
	file, err := os.OpenFile(p.log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return
	}
	defer file.Close()
	fmt.Fprintf(file, "%s %s/%s %s\n", event, pod.GetNamespace(), pod.GetName(), container.GetName())
}

// The config is the path of the log.
func (p *plugin) Configure(_ context.Context, config, runtime, version string) (stub.EventMask, error) {
	if config != "" {
		p.log = strings.TrimSpace(config)
	}
	p.note("Configure-"+runtime, nil, nil)
	return 0, nil
}

func (p *plugin) Synchronize(_ context.Context, pods []*api.PodSandbox, containers []*api.Container) ([]*api.ContainerUpdate, error) {
	p.note(fmt.Sprintf("Synchronize-%d-%d", len(pods), len(containers)), nil, nil)
	return nil, nil
}

// What plugins are told of a pod that log its network, or run hooks of old in it.
func (p *plugin) shown(pod *api.PodSandbox) {
	network := ""
	for _, namespace := range pod.GetLinux().GetNamespaces() {
		if namespace.Type == "network" {
			network = namespace.Path
		}
	}
	p.note(fmt.Sprintf("Shown network=%s ips=%s pid=%d cgroup=%s", network,
		strings.Join(pod.GetIps(), ","), pod.GetPid(), pod.GetLinux().GetCgroupsPath()), pod, nil)
}

func (p *plugin) RunPodSandbox(_ context.Context, pod *api.PodSandbox) error {
	p.note("RunPodSandbox", pod, nil)
	if pod.Annotations["judge/show"] != "" {
		p.shown(pod)
	}
	if pod.Annotations["judge/refuse"] == "RunPodSandbox" {
		return errors.New("told to refuse")
	}
	return nil
}

func (p *plugin) StopPodSandbox(_ context.Context, pod *api.PodSandbox) error {
	p.note("StopPodSandbox", pod, nil)
	return nil
}

func (p *plugin) RemovePodSandbox(_ context.Context, pod *api.PodSandbox) error {
	p.note("RemovePodSandbox", pod, nil)
	return nil
}

func (p *plugin) CreateContainer(_ context.Context, pod *api.PodSandbox, container *api.Container) (*api.ContainerAdjustment, []*api.ContainerUpdate, error) {
	p.note("CreateContainer", pod, container)
	if pod.Annotations["judge/refuse"] == "CreateContainer" {
		return nil, nil, errors.New("told to refuse")
	}
	adjust := &api.ContainerAdjustment{}
	if pod.Annotations["judge/override"] != "" {
		override(adjust, container)
	}
	if pod.Annotations["judge/idle"] != "" {
		adjust.SetLinuxIOPriority(&api.LinuxIOPriority{Class: api.IOPrioClass_IOPRIO_CLASS_IDLE})
	}
	if source := pod.Annotations["judge/mount"]; source != "" {
		adjust.AddMount(&api.Mount{Source: source, Destination: "/judged", Type: "bind", Options: []string{"rbind", "ro"}})
		adjust.AddEnv("JUDGED", container.Name)
		adjust.RemoveEnv("DROPPED")
		adjust.AddRlimit("RLIMIT_NOFILE", 444, 333)
		adjust.SetLinuxOomScoreAdj(ptr(321))
		adjust.SetLinuxMemoryLimit(50 << 20)
		adjust.AddAnnotation("judge/done", "yes")
		adjust.AddDevice(&api.LinuxDevice{Path: "/dev/judge", Type: "c", Major: 1, Minor: 3, FileMode: api.FileMode(0o666)})
		adjust.AddHooks(&api.Hooks{CreateRuntime: []*api.Hook{{
			Path: "/bin/sh",
			Args: []string{"sh", "-c", "cat >/dev/null; echo hooked > " + source + "/hooked"},
		}}})
	}
	return adjust, nil, nil
}

// Replaces what the container has, each the way that plugins do it: some add first, others remove first.
func override(adjust *api.ContainerAdjustment, container *api.Container) {
	for _, mount := range container.Mounts {
		if mount.Destination == "/sys/fs/cgroup" {
			options := []string{}
			for _, option := range mount.Options {
				if option != "ro" {
					options = append(options, option)
				}
			}
			adjust.AddMount(&api.Mount{Destination: mount.Destination, Type: mount.Type, Source: mount.Source, Options: append(options, "rw")})
			adjust.RemoveMount(mount.Destination)
		}
	}
	adjust.RemoveEnv("SET")
	adjust.AddEnv("SET", "anew")
	adjust.RemoveAnnotation("judge/set")
	adjust.AddAnnotation("judge/set", "anew")
	adjust.AddCDIDevice(&api.CDIDevice{Name: "judge.example.com/gift=one"})
}

func (p *plugin) StartContainer(_ context.Context, pod *api.PodSandbox, container *api.Container) error {
	p.note("StartContainer", pod, container)
	return nil
}

func (p *plugin) PostStartContainer(_ context.Context, pod *api.PodSandbox, container *api.Container) error {
	p.note("PostStartContainer", pod, container)
	return nil
}

func (p *plugin) UpdateContainer(_ context.Context, pod *api.PodSandbox, container *api.Container, resources *api.LinuxResources) ([]*api.ContainerUpdate, error) {
	p.note("UpdateContainer", pod, container)
	return nil, nil
}

func (p *plugin) StopContainer(_ context.Context, pod *api.PodSandbox, container *api.Container) ([]*api.ContainerUpdate, error) {
	p.note("StopContainer", pod, container)
	return nil, nil
}

func (p *plugin) RemoveContainer(_ context.Context, pod *api.PodSandbox, container *api.Container) error {
	p.note("RemoveContainer", pod, container)
	return nil
}

func (p *plugin) ValidateContainerAdjustment(_ context.Context, request *api.ValidateContainerAdjustmentRequest) error {
	p.note("Validate", request.GetPod(), request.GetContainer())
	if request.GetPod().GetAnnotations()["judge/refuse"] == "Validate" {
		return errors.New("told to reject")
	}
	return nil
}

func ptr(value int) *int { return &value }

func main() {
	var name, index, socket, log string
	flag.StringVar(&name, "name", "", "")
	flag.StringVar(&index, "idx", "", "")
	flag.StringVar(&socket, "socket", "", "")
	flag.StringVar(&log, "log", "", "")
	flag.Parse()
	var options []stub.Option
	if socket != "" {
		options = append(options, stub.WithSocketPath(socket))
	}
	done := make(chan error)
	// As differ does it: one process may be several plugins.
	for _, one := range strings.Split(index, ",") {
		with := options
		if name != "" {
			with = append(with, stub.WithPluginName(name), stub.WithPluginIdx(one))
		}
		judge, err := stub.New(&plugin{log: log}, with...)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		go func() { done <- judge.Run(context.Background()) }()
	}
	if err := <-done; err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
