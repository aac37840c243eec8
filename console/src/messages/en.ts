// The English words, and by their type the list of all words that a language must have.

export const en = {
  product: 'Tandem',
  language: 'Language',
  skip: 'Skip to the content',
  units: { second: 's', minute: 'min', hour: 'h', day: 'days' },
  node: (number: number) => `node${number}`,
  close: 'Close',
  cancel: 'Cancel',
  agree: 'Confirm',
  loading: 'Asking the node …',
  nothing: 'Nothing yet.',
  more: 'Show older ones',
  failedToLoad: 'This could not be read: ',

  signIn: {
    title: 'Sign in',
    name: 'User name',
    password: 'Password',
    token: 'Token',
    withToken: 'Sign in with a token',
    withPassword: 'Sign in with a password',
    submit: 'Sign in',
    busy: 'Checking …',
    wrong: 'The name or the password is wrong.',
    wrongToken: 'This is not a token of this cluster.',
    unreachable: 'This node does not answer.',
    ended: 'Your session has ended. Please sign in again.',
    noUsers:
      'No users exist yet. Sign in with the cluster’s token (on the server, as root: cat /var/lib/tandem/token), then create one.',
    insecure: 'This connection is not encrypted: anybody on the network can read the password.',
  },

  account: {
    menu: 'Account',
    signOut: 'Sign out',
    signOutEverywhere: 'Sign out everywhere',
    password: 'Change password',
    role: 'Role',
    insecure: 'Not encrypted (HTTP)',
  },

  nav: {
    tree: 'Cluster',
    overview: 'Overview',
    control: 'Control',
    monitoring: 'Monitoring',
    timeline: 'Timeline',
    doctor: 'Doctor',
    users: 'Users',
    sections: 'Sections',
  },

  connection: {
    lost: (name: string) => `${name} does not answer at present.`,
    waiting: 'Connecting …',
    answeredBy: (name: string) => `shown by ${name}`,
  },

  verdict: {
    protected: (module: string) => `${module} is protected.`,
    protectedMore: (serves: string, other: string) =>
      `It runs on ${serves}. Every acknowledged write is on both nodes; if ${serves} fails, ${other} takes over.`,
    runsOn: (serves: string) => `It runs on ${serves}. `,
    resyncing: (module: string, percent: string | null) =>
      `${module} runs, but is not protected yet${percent === null ? '' : `: ${percent}`}.`,
    resyncingMore: (serves: string, other: string) =>
      `It runs on ${serves}. ${other} is being brought up to date, and nothing needs to be done. Until then it cannot take over: if ${serves} fails, the service stops.`,
    alone: (module: string) => `${module} runs, but is not protected.`,
    aloneMore: (serves: string, other: string) =>
      `It runs on ${serves} alone: if ${serves} fails now, the service stops. ${other}.`,
    aloneSilent: (serves: string, other: string) =>
      `It runs on ${serves} alone: if ${serves} fails now, the service stops. ${other} does not answer.`,
    is: {
      STOP: (other: string) => `${other} is stopped`,
      WAIT: (other: string) => `${other} waits; why stands below`,
      SECOND: (other: string) => `${other} receives no data; why stands below`,
    } as Record<string, (other: string) => string>,
    brokenMore: (serves: string, reason: string) => `Nobody can use it: its services do not run on ${serves} (${reason}).`,
    settling: (module: string) => `${module} runs, but is not protected at this moment.`,
    settlingMore: (serves: string, other: string, reason: string) => `It runs on ${serves}. ${other} is changing: ${reason}.`,
    overdue: (other: string) => `${other} does not answer.`,
    overdueMore: (here: string, other: string, time: string) =>
      `${here} has every acknowledged write, and takes over when ${other} has been silent on every channel for ${time}.`,
    overdueCannot: (module: string, here: string, reason: string) =>
      `Whether ${module} runs there cannot be seen. ${here} does not take over: ${reason}.`,
    unseenMore: (module: string, ago: string, said: string) =>
      `Whether ${module} is protected cannot be seen from here. What you see is ${ago} old: “${said}”`,
    unseenOther: (other: string) => `Open the console of ${other}`,
    moving: (module: string) => `${module} is changing over.`,
    movingMore: 'This takes seconds. Nothing needs to be done.',
    starting: (module: string) => `${module} is starting.`,
    stopped: (module: string) => `${module} is stopped on both nodes.`,
    stoppedMore: 'Nobody can use it. Start the module to bring it back.',
    down: (module: string) => `${module} does not run.`,
    downMore: 'Nobody can use it. What each node waits for stands below.',
    diverged: (module: string) => `${module} has two different copies of its data.`,
    divergedMore: 'Both nodes served at the same time. Nothing has been overwritten; you decide which side counts.',
    firstStart: (module: string) => `${module} waits for its first start.`,
    firstStartMore:
      'Choose the node that holds the data to keep: “Serve from here” in its menu. The other node’s directory is set aside, not deleted.',
    unknown: (module: string) => `The state of ${module} is not known.`,
    unknownMore: 'Neither node says how it is.',
  },

  tone: { ready: 'ready', transient: 'changing', 'not ready': 'not ready' } as Record<string, string>,
  colour: { green: 'green', magenta: 'magenta', red: 'red' },
  stateMeaning: {
    STOP: 'stopped',
    WAIT: 'waiting or blocked',
    ALONE: 'serving, no usable second copy',
    PRIM: 'serving, mirrored',
    SECOND: 'standby',
    unknown: 'not known',
  } as Record<string, string>,

  card: {
    state: 'State',
    data: 'Data',
    since: (time: string) => `for ${time}`,
    silent: (time: string) => `does not answer for ${time}`,
    silentNever: 'has not answered yet',
    virtualAddress: 'Virtual address',
    here: 'here',
    notHeld: 'on neither node',
    attention: 'Needs attention',
    quiet: (network: string, time: string) => `${network}: nothing heard for ${time}`,
    todo: 'What to do',
    reason: 'Why',
    lately: 'Lately',
    actions: 'Actions',
    actionsFor: (name: string) => `Actions for ${name}`,
    you: 'this page comes from here',
  },

  flow: {
    title: 'Between the nodes',
    level: 'Every acknowledged write is on both nodes.',
    debt: (bytes: string, time: string) =>
      `${bytes} exist only on the serving node; the oldest for ${time}. If it fails now, they are lost.`,
    none: 'No data flows between the nodes.',
    unseen: (serves: string) => `${serves} does not answer: what exists only there cannot be seen.`,
    aloneNoWrites: 'Nothing has been written since the other copy was lost.',
    changes: (rate: string) => `${rate} changes/s`,
    throughput: (rate: string) => `${rate}/s`,
    latency: (time: string) => `on the other disk in ${time}`,
    waiting: (count: string) => `${count} on their way`,
    resync: (done: string, total: string, sent: string) => `${done} of ${total} compared, ${sent} differed`,
    resyncSpeed: (rate: string) => `${rate}/s`,
    resyncLeft: (left: string) => `about ${left} left`,
    verifying: (percent: string, differences: string) => `Comparing both copies: ${percent}, differences: ${differences}`,
    verified: (bytes: string) => `Last comparison: ${bytes}, all equal.`,
    verifiedDifferent: (bytes: string, differences: string, repaired: string) =>
      `Last comparison: ${bytes}, differences: ${differences}, repaired: ${repaired}. The log says where.`,
    verifyUnfinished: (bytes: string, differences: string) => `Last comparison: ended after ${bytes}, differences: ${differences}. The log says why.`,
    stalled: 'The other node is overdue; writes wait.',
    to: (from: string, to: string) => `from ${from} to ${to}`,
  },

  action: {
    start: 'Start',
    stop: 'Stop',
    restart: 'Restart',
    swap: 'Swap',
    stopstart: 'Stop, then start',
    prim: 'Serve from here',
    force: 'Force start as primary',
    second: 'Start as secondary',
    fullSync: 'Force start as secondary',
    verify: 'Compare both copies',
    estimate: 'Estimate synchronisation',
    startAll: 'Start module',
    stopAll: 'Stop module',
    expert: 'Expert',
    admin: 'Admin',
    support: 'Support',
    logs: 'Logs',
    bundle: 'Support bundle',
    notNow: 'not possible at present',
    noRole: 'your role does not allow this',
  },

  confirm: {
    title: (action: string, object: string) => `${action}: ${object}?`,
    services: (names: string) => `Services that end: ${names}.`,
    loss: {
      untouched: 'No data is touched.',
      level: (there: string) => `Nothing that was acknowledged is lost: ${there} has all of it.`,
      levelFirst: 'Nothing that was acknowledged is lost: both copies are made equal first, and the service moves or ends only then.',
      stays: (here: string) => `Nothing that was acknowledged is lost: it stays on ${here}, and the other node has it too.`,
      exposed: (here: string, there: string, bytes: string, age: string) =>
        `${bytes} of acknowledged writes exist only on ${here}, the oldest for ${age}. They stay on its disk. If that disk fails before ${there} has them, they are lost.`,
      onlyCopy: (here: string, there: string, data: string) =>
        `${here} has the only current copy (${there}: ${data}). It stays on its disk. If that disk fails before ${there} is up to date, writes are lost.`,
      silentServing: (here: string, there: string) =>
        `${there} does not answer: ${here} has the only copy that is known to be current. It stays on its disk. If that disk fails, writes are lost.`,
      hidden: (here: string) => `${here} does not answer: which writes only it has cannot be seen from here.`,
      second: (here: string, there: string) =>
        `Nothing is lost by this. But what ${there} acknowledges from then on exists only there, until ${here} is back and up to date: if its disk fails meanwhile, that is lost.`,
      secondIncomplete: (here: string, there: string) =>
        `Nothing is lost by this: the copy on ${here} is not complete. ${there} stays the only one that is current, for longer than without this.`,
      idle: (here: string) => `Nothing is lost: ${here} does not serve, and its copy stays as it is.`,
      proven: (here: string, there: string) =>
        `Nothing that was acknowledged is lost: the nodes compare their records, and only data that is proven to be current is served, be it of ${here} or of ${there}.`,
      behind: (here: string, there: string, data: string) =>
        `Nothing that was acknowledged is lost: the copy on ${here} (${data}) is not served, but made equal to that of ${there}.`,
      startSilent: (here: string, there: string) =>
        `${there} does not answer. ${here} serves only if its record proves that ${there} cannot have newer data, and waits otherwise. Where \`start-alone-after\` is configured it serves after that time all the same: writes that only ${there} has would then be missing.`,
      allSilent: (silent: string, other: string) =>
        `${silent} does not answer. ${other} serves only if its record proves that its data is current, or after the time of \`start-alone-after\` where that is configured: writes that only ${silent} has would then be missing.`,
      firstStart: 'Nothing is touched yet: neither node has a record, so both wait until you choose whose data counts (“Serve from here”).',
      diverged: 'Each copy has writes that the other one lacks. This overwrites neither; it stays so until you have chosen.',
      primFirst: (here: string, there: string) =>
        `The data of ${here} counts from now on. What stands in the directory of ${there} is not used: when ${there} joins, it is set aside beside it as NAME.before-tandem, not deleted.`,
      primCurrent: (here: string) => `Nothing that was acknowledged is lost: the copy on ${here} is current.`,
      primBehind: (here: string, there: string, data: string) =>
        `The copy on ${here} is ${data}: writes that only ${there} has are newer. ${here} refuses this and loses nothing; start ${there} instead.`,
      primSilent: (here: string, there: string) =>
        `${there} does not answer. Unless its record proves that ${there} has nothing newer, ${here} refuses this, and nothing is lost.`,
      primDiverged: (here: string, there: string) =>
        `Each copy has writes that the other one lacks. If ${here} is the side that goes on, what only ${there} has is not served; it is overwritten only by “Start as secondary” there. Otherwise ${here} refuses this.`,
      forceSilent: (here: string, there: string) =>
        `${there} does not answer: whatever it has acknowledged without ${here} will be missing. It stays on the disk of ${there} until you choose “Start as secondary” there or ${there} is compared again.`,
      forceBehind: (here: string, there: string, data: string) =>
        `Data will be missing: the copy on ${here} is ${data}, and acknowledged writes that only ${there} has are not served.`,
      forceMixed: (here: string, there: string) =>
        `The copy on ${here} is inconsistent: a mixture of two points in time, which the application may not be able to read. Acknowledged writes that only ${there} has will be missing.`,
      forceCurrent: (here: string, there: string) =>
        `The copy on ${here} is recorded as current, so nothing should be missing. Force does not wait for the proof: if ${there} served meanwhile, its acknowledged writes since then will be missing.`,
      forceDiverged: (here: string, there: string, size: string) =>
        `What only ${there} has since the copies parted will be missing (its copy: ${size}). It is overwritten when ${there} is started as secondary.`,
      follows: (here: string, there: string) => `Nothing that was acknowledged is lost: ${here} takes over what ${there} has.`,
      followsNobody: 'Nothing is touched: nobody serves at present, so this is refused.',
      givesUp: (here: string, there: string, size: string) =>
        `What only ${here} has since the copies parted is given up for good (its copy: ${size}): it is overwritten by what ${there} has, and not set aside.`,
      compared: (here: string, there: string) =>
        `Nothing that was acknowledged is lost by this. But until all is compared only ${there} has a copy that counts, and ${here} cannot take over: if the disk of ${there} fails meanwhile, writes are lost.`,
    },
    estimate: {
      measured: (all: string, rate: string, time: string) =>
        `A full comparison reads ${all} on both nodes and sends only what differs. The last one ran at ${rate}/s: about ${time}. After an orderly stop or a broken connection only what changed since is read.`,
      unmeasured: (all: string) =>
        `A full comparison reads ${all} on both nodes and sends only what differs. None was measured since the daemon of the serving node started. After an orderly stop or a broken connection only what changed since is read.`,
      running: (done: string, total: string, sent: string, left: string | null) =>
        `One runs: ${done} of ${total} are compared, ${sent} differed and were sent${left === null ? '' : `, about ${left} left`}.`,
    },
    took: (time: string, when: string) => `Last time it took ${time} (${when}).`,
    giveUpCheck: (name: string) => `I know that the writes that only ${name} has will be overwritten.`,
    also: (name: string) => `On ${name}, too`,
    why: 'Reason (for the audit log, optional)',
    forceCheck: (name: string) => `I know that ${name} is off, and that its newer data will not be used.`,
    running: 'Under way',
    ended: { done: 'Done', refused: 'Refused', failed: 'Failed', unreachable: 'Not reachable', lost: 'Unknown outcome', running: 'Under way' },
    close: 'You may close this; it goes on.',
    jobs: 'Commands',
    steps: 'Steps',
    q: {
      startNode: (name: string) => `${name} starts and picks its role by itself: standby if the other node serves, otherwise it serves if its data is proven to be current.`,
      startAll: 'Both nodes start and agree who serves. Clients reach the service within seconds.',
      stopServing: (name: string, other: string) => `${name} stops serving and hands over to ${other}. Clients see a short break, usually a few seconds.`,
      stopLast: (name: string) => `${name} is the only node that serves. The service goes down for everybody until it is started again.`,
      stopSecond: (name: string, other: string) => `${name} leaves. ${other} goes on serving, without a second copy until ${name} is started again.`,
      stopOther: (name: string) => `${name} stops and waits for a start.`,
      stopAll: 'The service goes down for everybody. Both copies are brought level and recorded as equal, then both nodes stop.',
      restart: (name: string) => `The services on ${name} stop and start in place. Nothing moves to the other node. Clients see a break for as long as that takes.`,
      swap: (from: string, to: string) => `The roles are exchanged: the services end on ${from} and start on ${to}. Clients see a short break. If they cannot start there, everything is swapped back.`,
      stopstartServing: (name: string, other: string) => `${name} stops and hands over to ${other}, then comes back as the standby.`,
      stopstartAlone: (name: string) => `The service on ${name} goes down and starts again.`,
      stopstart: (name: string) => `${name} stops, starts again and resynchronises.`,
      prim: (name: string) => `${name} serves: its services start, and it takes the virtual address.`,
      force: (name: string, other: string) => `${name} serves whatever it has, proven or not. ${other} must be off: two nodes that serve make two different copies.`,
      second: (name: string) => `${name} starts as the standby and resynchronises. It is refused if nobody serves.`,
      fullSync: (name: string, other: string) => `Nothing is believed of the copy on ${name}: all of it is compared with that of ${other}, and what differs is sent. This reads everything on both nodes; the application goes on.`,
      verify: 'Both copies are compared, names, attributes and contents, while the application goes on. What differs on the standby is counted, logged with its path, and sent anew. Roles stay as they are.',
    },
  },

  switches: {
    off: { failover: 'Failover is off', checkers: 'Error detection is suspended' },
    switchBoot: {
      turnOn: 'Enable boot start', turnOff: 'Disable boot start',
      on: 'After a boot of this machine the module starts on this node by itself.',
      off: 'After a boot of this machine the module stays in STOP on this node until somebody starts it.',
    },
    switchCheckers: {
      turnOn: 'Resume error detection', turnOff: 'Suspend error detection',
      on: 'What checkers and services report on this node has consequences again.',
      off: 'What checkers and services report on this node has no consequences: a failed service is neither restarted nor given to the other node, until this is resumed.',
    },
    switchFailover: {
      turnOn: 'Switch failover on', turnOff: 'Switch failover off',
      on: 'The service may move between the nodes by itself again.',
      off: 'The service does not move by itself any more: if the serving node fails, it stays down until an operator acts.',
    },
  },

  divergence: {
    title: 'What each side has',
    side: 'Side',
    generation: 'Generation',
    size: 'Size of its copy',
    serves: 'Serves now',
    common: (generation: string) => `Both were equal until generation ${generation}.`,
    unrelated: 'The two copies have nothing in common.',
    choice: (keeps: string, gives: string) =>
      `To keep the side of ${keeps}: choose “Start as secondary” in the menu of ${gives}. To keep the side of ${gives}: stop ${keeps}, choose “Force start as primary” on ${gives}, then “Start as secondary” on ${keeps}.`,
  },

  firstStart: {
    title: 'What stands in the directories now',
    volume: 'Volume',
    size: 'Size',
    files: 'Files',
    newest: 'Newest change',
    empty: 'empty',
    least: (much: string) => `at least ${much}`,
  },

  tabs: { resources: 'Resources', log: 'Module log', journal: 'System log', commands: 'Command log', information: 'Information' },

  resources: {
    name: 'Name',
    state: 'State',
    reason: 'Reason',
    node: 'Node',
    kind: 'Kind',
    service: 'Service',
    checker: 'Checker',
    address: 'Address',
    volume: 'Mirror',
    channel: 'Channel',
    held: 'here',
    free: 'not here',
    heard: (time: string) => `heard ${time} ago`,
    silent: 'silent',
    refused: (count: string) => `${count} refused`,
    history: 'History',
    historyOf: (name: string) => `History of ${name}`,
  },

  log: {
    time: 'Time',
    node: 'Node',
    what: 'What and why',
    filter: 'Filter',
    live: 'Live',
    alarmsOnly: 'Only alarms',
    inputs: 'Decided upon',
    row: (row: number) => `transition ${row}`,
    english: 'The nodes write their reasons in English.',
    alarm: 'Alarm',
  },

  journal: {
    source: 'Whose log',
    sources: { daemon: 'Daemon', mirror: 'Mirror', application: 'Application' } as Record<string, string>,
    warnings: 'Only warnings and errors',
    warning: 'Warning',
    error: 'Error',
    of: (name: string) => `The journal of ${name}. That of the other node is shown by the console there.`,
    noUnits: 'The services of this module are no units: what they write is not kept.',
    missed: 'Some lines are not shown: more came at once than fit.',
  },

  audit: {
    who: 'Who',
    from: 'From',
    what: 'What',
    why: 'Why',
    result: 'Result',
    adminOnly: 'Only users with the role admin see the command log.',
  },

  information: {
    node: 'Node',
    address: 'Address',
    version: 'Version',
    record: 'In-sync record',
    epoch: 'Epoch',
    holder: 'Holder',
    insync: 'In sync',
    generation: 'Generation',
    confirmed: 'Confirmed by both',
    permit: 'Permit',
    permitLeft: (time: string) => `ends in ${time} unless renewed`,
    mirror: 'Mirror',
    size: 'Size of the data',
    support: 'Support bundle',
    supportWhat:
      'One file for who helps you: states, history and journals of both nodes, configuration, versions, facts about the machine. Passwords, tokens, keys and environments are not in it. It takes up to a minute.',
    supportDownload: 'Download',
    supportAnonymous: 'Download without names and addresses',
    takeover: 'Takeover after silence of',
    yes: 'yes',
    no: 'no',
  },

  license: {
    title: 'Licence',
    used: (time: string, of: string) => `${time} of ${of} without a licence are used; then the module stops until somebody starts it.`,
    cluster: 'A licence has to name this cluster:',
    both: 'The same file on both nodes. It counts at once, and nothing is restarted.',
    add: (node: string) => `Add a licence on ${node}`,
    noLicense: 'This is no licence: the file is too large.',
    added: (node: string, other: string) => `Added on ${node}.${other === '' ? '' : ` Add the same file on ${other}, too.`}`,
  },

  monitoring: {
    changes: 'Changes',
    changesUnit: 'per second',
    waiting: 'On their way',
    waitingUnit: 'changes not yet on the other node',
    throughput: 'Throughput',
    throughputUnit: 'sent to the other node per second',
    latency: 'Latency',
    latencyUnit: 'until the other disk has what was acknowledged',
    exposure: 'Exposure',
    exposureUnit: 'acknowledged bytes that exist only here',
    exposureAge: 'Age of the oldest of them',
    exposureAgeUnit: 'seconds',
    resync: 'Resynchronisation',
    resyncUnit: 'bytes compared per second',
    quarter: 'Last 15 minutes',
    day: 'Last day',
    summary: (now: string, max: string) => `now ${now}, highest ${max}`,
  },

  timeline: {
    title: 'States of both nodes',
    span: { quarter: '15 min', hour: '1 hour', day: '1 day', week: '7 days' },
    list: 'Changes',
    empty: 'Nothing has changed in this time.',
  },

  doctor: {
    what: 'Looks at both machines and at what is between them: whatever would keep the service from running, or from moving. Nothing is changed.',
    examine: 'Examine both nodes',
    again: 'Examine again',
    running: 'Both nodes are being examined. This takes up to a minute.',
    never: 'Nobody has examined since the daemon of this node was started.',
    when: (time: string, node: string) => `Examined at ${time} by ${node}.`,
    between: 'between the nodes',
    result: { ok: 'All is well.', unknown: 'Not all could be looked at.', warning: 'It works, but something will cost you.', failed: 'Something is wrong.' },
    verdict: { ok: 'ok', unknown: 'unknown', warning: 'warning', failed: 'failed' },
    count: {
      ok: (count: number) => `${count} ok`,
      unknown: (count: number) => `${count} unknown`,
      warning: (count: number) => `${count} warnings`,
      failed: (count: number) => `${count} failed`,
    },
    fixable: 'Done on that node, as root, by',
  },

  users: {
    title: 'Users',
    tokens: 'Tokens for scripts',
    add: 'Add user',
    addToken: 'Add token',
    name: 'Name',
    role: 'Role',
    changed: 'Changed',
    password: 'Password',
    repeat: 'Repeat password',
    old: 'Present password',
    new: 'New password',
    differ: 'The two passwords differ.',
    short: 'At least 8 characters.',
    nameHint: 'Lower-case letters, digits, - _ .',
    remove: 'Remove',
    removeQuestion: (name: string) => `Remove ${name}? Open sessions end at once.`,
    reset: 'Set password',
    tokenOnce: 'Copy this token now. It is not shown again.',
    roles: { monitor: 'monitor: sees', control: 'control: gives commands', admin: 'admin: everything' },
    thisNode: (name: string) => `A change counts on both nodes as soon as they talk to each other (this page: ${name}).`,
    done: 'Done.',
    signInAgain: 'The password is changed. Please sign in with it.',
  },
};

export type Messages = typeof en;
