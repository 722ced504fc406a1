/^  - cpuRequest: 100m/,/^    name: events/d
/^  - cpuRequest:/{N;s/.*\n    /  - /}
/^    manager:/,/^      backupRetentionDays:/d
/^    memoryRequest:/d
s/^    cilium:/    flannel: {}/
/^      enableNodePort:/d
