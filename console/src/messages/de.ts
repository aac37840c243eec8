// Die deutschen Wörter. Zustandswörter und `uptodate` bleiben, wie sie sind.
import type { Messages } from './en';

export const de: Messages = {
  product: 'Tandem',
  language: 'Sprache',
  skip: 'Zum Inhalt springen',
  units: { second: 's', minute: 'min', hour: 'h', day: 'Tage' },
  node: (number) => `node${number}`,
  close: 'Schließen',
  cancel: 'Abbrechen',
  agree: 'Bestätigen',
  loading: 'Der Knoten wird gefragt …',
  nothing: 'Noch nichts.',
  more: 'Ältere zeigen',
  failedToLoad: 'Das konnte nicht gelesen werden: ',

  signIn: {
    title: 'Anmelden',
    name: 'Benutzername',
    password: 'Passwort',
    token: 'Token',
    withToken: 'Mit Token anmelden',
    withPassword: 'Mit Passwort anmelden',
    submit: 'Anmelden',
    busy: 'Wird geprüft …',
    wrong: 'Name oder Passwort ist falsch.',
    wrongToken: 'Das ist kein Token dieses Clusters.',
    unreachable: 'Dieser Knoten antwortet nicht.',
    ended: 'Ihre Sitzung ist zu Ende. Bitte melden Sie sich erneut an.',
    noUsers:
      'Es gibt noch keine Benutzer. Melden Sie sich mit dem Token des Clusters an (auf dem Server, als root: cat /var/lib/tandem/token) und legen Sie dann einen an.',
    insecure: 'Diese Verbindung ist nicht verschlüsselt: Jeder im Netz kann das Passwort mitlesen.',
  },

  account: {
    menu: 'Konto',
    signOut: 'Abmelden',
    signOutEverywhere: 'Überall abmelden',
    password: 'Passwort ändern',
    role: 'Rolle',
    insecure: 'Nicht verschlüsselt (HTTP)',
  },

  nav: {
    tree: 'Cluster',
    overview: 'Übersicht',
    control: 'Steuerung',
    monitoring: 'Verlauf',
    timeline: 'Zeitleiste',
    users: 'Benutzer',
    sections: 'Bereiche',
  },

  connection: {
    lost: (name) => `${name} antwortet zurzeit nicht.`,
    waiting: 'Verbindung wird aufgebaut …',
    answeredBy: (name) => `gezeigt von ${name}`,
  },

  verdict: {
    protected: (module) => `${module} ist geschützt.`,
    protectedMore: (serves, other) =>
      `Der Dienst läuft auf ${serves}. Jeder bestätigte Schreibvorgang ist auf beiden Knoten; fällt ${serves} aus, übernimmt ${other}.`,
    runsOn: (serves) => `Der Dienst läuft auf ${serves}. `,
    resyncing: (module, percent) => `${module} läuft, ist aber noch nicht geschützt${percent === null ? '' : `: ${percent}`}.`,
    resyncingMore: (serves, other) =>
      `Der Dienst läuft auf ${serves}. ${other} wird auf den neuesten Stand gebracht; es ist nichts zu tun. Bis dahin kann er nicht übernehmen: Fällt ${serves} aus, steht der Dienst still.`,
    alone: (module) => `${module} läuft, ist aber nicht geschützt.`,
    aloneMore: (serves, other) => `Der Dienst läuft allein auf ${serves}: Fällt ${serves} jetzt aus, steht er still. ${other}.`,
    aloneSilent: (serves, other) =>
      `Der Dienst läuft allein auf ${serves}: Fällt ${serves} jetzt aus, steht er still. ${other} antwortet nicht.`,
    is: {
      STOP: (other) => `${other} ist gestoppt`,
      WAIT: (other) => `${other} wartet; warum, steht unten`,
      SECOND: (other) => `${other} bekommt keine Daten; warum, steht unten`,
    },
    brokenMore: (serves, reason) => `Niemand kann den Dienst benutzen: Auf ${serves} laufen die Dienste nicht (${reason}).`,
    settling: (module) => `${module} läuft, ist aber im Augenblick nicht geschützt.`,
    settlingMore: (serves, other, reason) => `Der Dienst läuft auf ${serves}. ${other} ist im Wechsel: ${reason}.`,
    overdue: (other) => `${other} antwortet nicht.`,
    overdueMore: (here, other, time) =>
      `${here} hat jeden bestätigten Schreibvorgang und übernimmt, wenn ${other} ${time} lang auf allen Wegen geschwiegen hat.`,
    overdueCannot: (module, here, reason) => `Ob ${module} dort läuft, ist nicht zu sehen. ${here} übernimmt nicht: ${reason}.`,
    unseenMore: (module, ago, said) =>
      `Ob ${module} geschützt ist, ist von hier nicht zu sehen. Was Sie sehen, ist ${ago} alt: „${said}“`,
    unseenOther: (other) => `Konsole von ${other} öffnen`,
    moving: (module) => `${module} wechselt gerade.`,
    movingMore: 'Das dauert Sekunden. Es ist nichts zu tun.',
    starting: (module) => `${module} startet.`,
    stopped: (module) => `${module} ist auf beiden Knoten gestoppt.`,
    stoppedMore: 'Niemand kann den Dienst benutzen. Starten Sie das Modul.',
    down: (module) => `${module} läuft nicht.`,
    downMore: 'Niemand kann den Dienst benutzen. Worauf jeder Knoten wartet, steht unten.',
    diverged: (module) => `${module} hat zwei verschiedene Datenstände.`,
    divergedMore: 'Beide Knoten haben gleichzeitig gedient. Nichts wurde überschrieben; Sie entscheiden, welche Seite gilt.',
    firstStart: (module) => `${module} wartet auf den ersten Start.`,
    firstStartMore:
      'Wählen Sie den Knoten, dessen Daten gelten: „Von hier aus dienen“ in seinem Menü. Das Verzeichnis des anderen wird beiseitegelegt, nicht gelöscht.',
    unknown: (module) => `Der Zustand von ${module} ist nicht bekannt.`,
    unknownMore: 'Keiner der Knoten sagt, wie es ihm geht.',
  },

  tone: { ready: 'bereit', transient: 'im Wechsel', 'not ready': 'nicht bereit' },
  colour: { green: 'grün', magenta: 'magenta', red: 'rot' },
  stateMeaning: {
    STOP: 'gestoppt',
    WAIT: 'wartet oder ist blockiert',
    ALONE: 'dient, ohne brauchbare zweite Kopie',
    PRIM: 'dient, gespiegelt',
    SECOND: 'in Bereitschaft',
    unknown: 'nicht bekannt',
  },

  card: {
    state: 'Zustand',
    data: 'Daten',
    since: (time) => `seit ${time}`,
    silent: (time) => `antwortet seit ${time} nicht`,
    silentNever: 'hat noch nicht geantwortet',
    virtualAddress: 'Virtuelle Adresse',
    here: 'hier',
    notHeld: 'auf keinem Knoten',
    attention: 'Braucht Aufmerksamkeit',
    quiet: (network, time) => `${network}: seit ${time} nichts gehört`,
    todo: 'Was zu tun ist',
    reason: 'Warum',
    lately: 'Zuletzt',
    actions: 'Aktionen',
    actionsFor: (name) => `Aktionen für ${name}`,
    you: 'diese Seite kommt von hier',
  },

  flow: {
    title: 'Zwischen den Knoten',
    level: 'Jeder bestätigte Schreibvorgang ist auf beiden Knoten.',
    debt: (bytes, time) =>
      `${bytes} gibt es nur auf dem dienenden Knoten, die ältesten seit ${time}. Fällt er jetzt aus, sind sie verloren.`,
    none: 'Zwischen den Knoten fließen keine Daten.',
    unseen: (serves) => `${serves} antwortet nicht: Was es nur dort gibt, ist nicht zu sehen.`,
    aloneNoWrites: 'Seit dem Verlust der anderen Kopie wurde nichts geschrieben.',
    changes: (rate) => `${rate} Änderungen/s`,
    throughput: (rate) => `${rate}/s`,
    latency: (time) => `auf der anderen Platte in ${time}`,
    waiting: (count) => `${count} unterwegs`,
    resync: (done, total, sent) => `${done} von ${total} verglichen, ${sent} wichen ab`,
    resyncSpeed: (rate) => `${rate}/s`,
    resyncLeft: (left) => `noch etwa ${left}`,
    verifying: (percent, differences) => `Beide Kopien werden verglichen: ${percent}, Abweichungen: ${differences}`,
    verified: (bytes) => `Letzter Vergleich: ${bytes}, alles gleich.`,
    verifiedDifferent: (bytes, differences, repaired) =>
      `Letzter Vergleich: ${bytes}, Abweichungen: ${differences}, behoben: ${repaired}. Wo, sagt das Protokoll.`,
    verifyUnfinished: (bytes, differences) => `Letzter Vergleich: endete nach ${bytes}, Abweichungen: ${differences}. Warum, sagt das Protokoll.`,
    stalled: 'Der andere Knoten ist überfällig; Schreibvorgänge warten.',
    to: (from, to) => `von ${from} nach ${to}`,
  },

  action: {
    start: 'Starten',
    stop: 'Stoppen',
    restart: 'Neu starten',
    swap: 'Rollen tauschen',
    stopstart: 'Stoppen, dann starten',
    prim: 'Von hier aus dienen',
    force: 'Start als Primary erzwingen',
    second: 'Als Secondary starten',
    fullSync: 'Start als Secondary erzwingen',
    verify: 'Beide Kopien vergleichen',
    estimate: 'Abgleich abschätzen',
    startAll: 'Modul starten',
    stopAll: 'Modul stoppen',
    expert: 'Experte',
    admin: 'Verwaltung',
    support: 'Unterstützung',
    logs: 'Protokolle',
    bundle: 'Supportpaket',
    notNow: 'zurzeit nicht möglich',
    noRole: 'Ihre Rolle erlaubt das nicht',
  },

  confirm: {
    title: (action, object) => `${action}: ${object}?`,
    services: (names) => `Dienste, die enden: ${names}.`,
    loss: {
      untouched: 'Daten werden nicht berührt.',
      level: (there) => `Nichts Bestätigtes geht verloren: ${there} hat alles.`,
      levelFirst: 'Nichts Bestätigtes geht verloren: Erst werden beide Kopien angeglichen, dann wechselt oder endet der Dienst.',
      stays: (here) => `Nichts Bestätigtes geht verloren: Es bleibt auf ${here}, und der andere Knoten hat es auch.`,
      exposed: (here, there, bytes, age) =>
        `${bytes} bestätigte Schreibvorgänge gibt es nur auf ${here}, den ältesten seit ${age}. Sie bleiben auf seiner Platte. Fällt sie aus, bevor ${there} sie hat, sind sie verloren.`,
      onlyCopy: (here, there, data) =>
        `${here} hat die einzige aktuelle Kopie (${there}: ${data}). Sie bleibt auf seiner Platte. Fällt sie aus, bevor ${there} aktuell ist, gehen Schreibvorgänge verloren.`,
      silentServing: (here, there) =>
        `${there} antwortet nicht: ${here} hat die einzige Kopie, die nachweislich aktuell ist. Sie bleibt auf seiner Platte. Fällt sie aus, gehen Schreibvorgänge verloren.`,
      hidden: (here) => `${here} antwortet nicht: Was nur dort steht, ist von hier nicht zu sehen.`,
      second: (here, there) =>
        `Dadurch geht nichts verloren. Was ${there} danach bestätigt, gibt es aber nur dort, bis ${here} zurück und aktuell ist: Fällt die Platte vorher aus, ist es verloren.`,
      secondIncomplete: (here, there) =>
        `Dadurch geht nichts verloren: Die Kopie auf ${here} ist nicht vollständig. ${there} bleibt länger als sonst die einzige aktuelle.`,
      idle: (here) => `Nichts geht verloren: ${here} dient nicht, und seine Kopie bleibt, wie sie ist.`,
      proven: (here, there) =>
        `Nichts Bestätigtes geht verloren: Die Knoten vergleichen ihre Aufzeichnungen, und nur nachweislich aktuelle Daten werden verwendet, ob von ${here} oder von ${there}.`,
      behind: (here, there, data) =>
        `Nichts Bestätigtes geht verloren: Die Kopie auf ${here} (${data}) wird nicht verwendet, sondern der von ${there} angeglichen.`,
      startSilent: (here, there) =>
        `${there} antwortet nicht. ${here} dient nur, wenn nachweislich ${there} nichts Neueres haben kann, und wartet sonst. Wo \`start-alone-after\` gesetzt ist, dient er nach dieser Zeit trotzdem: Was nur ${there} hat, fehlt dann.`,
      allSilent: (silent, other) =>
        `${silent} antwortet nicht. ${other} dient nur, wenn seine Daten nachweislich aktuell sind, oder nach der Zeit von \`start-alone-after\`, wo das gesetzt ist: Was nur ${silent} hat, fehlt dann.`,
      firstStart: 'Noch wird nichts berührt: Kein Knoten hat eine Aufzeichnung, beide warten, bis Sie wählen, wessen Daten gelten („Von hier aus dienen“).',
      diverged: 'Jede Kopie hat Schreibvorgänge, die der anderen fehlen. Hierdurch wird keine überschrieben; das bleibt so, bis Sie gewählt haben.',
      primFirst: (here, there) =>
        `Ab jetzt gelten die Daten von ${here}. Was im Verzeichnis von ${there} steht, wird nicht verwendet: Beim Beitritt von ${there} wird es als NAME.before-tandem danebengelegt, nicht gelöscht.`,
      primCurrent: (here) => `Nichts Bestätigtes geht verloren: Die Kopie auf ${here} ist aktuell.`,
      primBehind: (here, there, data) =>
        `Die Kopie auf ${here} ist ${data}: Was nur ${there} hat, ist neuer. ${here} lehnt das ab und verliert nichts; starten Sie stattdessen ${there}.`,
      primSilent: (here, there) =>
        `${there} antwortet nicht. Wenn nicht nachweislich ${there} nichts Neueres hat, lehnt ${here} das ab, und nichts geht verloren.`,
      primDiverged: (here, there) =>
        `Jede Kopie hat Schreibvorgänge, die der anderen fehlen. Ist ${here} die Seite, die weitermacht, wird nicht verwendet, was nur ${there} hat; überschrieben wird es erst durch „Als Secondary starten“ dort. Sonst lehnt ${here} ab.`,
      forceSilent: (here, there) =>
        `${there} antwortet nicht: Was dort ohne ${here} bestätigt wurde, wird fehlen. Es bleibt auf der Platte von ${there}, bis Sie dort „Als Secondary starten“ wählen oder ${there} wieder abgeglichen wird.`,
      forceBehind: (here, there, data) =>
        `Daten werden fehlen: Die Kopie auf ${here} ist ${data}, und bestätigte Schreibvorgänge, die nur ${there} hat, werden nicht verwendet.`,
      forceMixed: (here, there) =>
        `Die Kopie auf ${here} ist inconsistent: eine Mischung zweier Zeitpunkte, die die Anwendung vielleicht nicht lesen kann. Bestätigte Schreibvorgänge, die nur ${there} hat, werden fehlen.`,
      forceCurrent: (here, there) =>
        `Die Kopie auf ${here} ist als aktuell verzeichnet, es sollte also nichts fehlen. Zwang wartet nicht auf den Nachweis: Hat ${there} inzwischen gedient, wird fehlen, was dort seitdem bestätigt wurde.`,
      forceDiverged: (here, there, size) =>
        `Was nur ${there} hat, seit die Kopien auseinandergingen, wird fehlen (seine Kopie: ${size}). Überschrieben wird es, wenn ${there} als Bereitschaft startet.`,
      follows: (here, there) => `Nichts Bestätigtes geht verloren: ${here} übernimmt, was ${there} hat.`,
      followsNobody: 'Nichts wird berührt: Zurzeit dient niemand, also wird das abgelehnt.',
      givesUp: (here, there, size) =>
        `Was nur ${here} hat, seit die Kopien auseinandergingen, wird endgültig aufgegeben (seine Kopie: ${size}): Es wird mit dem überschrieben, was ${there} hat, und nicht beiseitegelegt.`,
      compared: (here, there) =>
        `Hierdurch geht nichts Bestätigtes verloren. Bis alles verglichen ist, hat aber nur ${there} eine Kopie, die zählt, und ${here} kann nicht übernehmen: Fällt die Platte von ${there} vorher aus, gehen Schreibvorgänge verloren.`,
    },
    estimate: {
      measured: (all, rate, time) =>
        `Ein vollständiger Vergleich liest ${all} auf beiden Knoten und sendet nur, was abweicht. Der letzte schaffte ${rate}/s: etwa ${time}. Nach einem ordentlichen Stopp oder einer unterbrochenen Verbindung wird nur gelesen, was sich seitdem geändert hat.`,
      unmeasured: (all) =>
        `Ein vollständiger Vergleich liest ${all} auf beiden Knoten und sendet nur, was abweicht. Seit dem Start des Daemons auf dem dienenden Knoten wurde keiner gemessen. Nach einem ordentlichen Stopp oder einer unterbrochenen Verbindung wird nur gelesen, was sich seitdem geändert hat.`,
      running: (done, total, sent, left) =>
        `Einer läuft: ${done} von ${total} sind verglichen, ${sent} wichen ab und wurden gesendet${left === null ? '' : `, noch etwa ${left}`}.`,
    },
    took: (time, when) => `Letztes Mal dauerte es ${time} (${when}).`,
    giveUpCheck: (name) => `Mir ist bekannt, dass überschrieben wird, was nur ${name} hat.`,
    also: (name) => `Auch auf ${name}`,
    why: 'Grund (für das Befehlsprotokoll, freiwillig)',
    forceCheck: (name) => `Mir ist bekannt, dass ${name} aus ist und seine neueren Daten nicht verwendet werden.`,
    running: 'In Arbeit',
    ended: { done: 'Fertig', refused: 'Abgelehnt', failed: 'Fehlgeschlagen', unreachable: 'Nicht erreichbar', lost: 'Ausgang unbekannt', running: 'In Arbeit' },
    close: 'Sie können dies schließen; es läuft weiter.',
    jobs: 'Befehle',
    steps: 'Schritte',
    q: {
      startNode: (name) => `${name} startet und wählt seine Rolle selbst: Bereitschaft, wenn der andere Knoten dient; sonst dient er, wenn seine Daten nachweislich aktuell sind.`,
      startAll: 'Beide Knoten starten und einigen sich, wer dient. Nach Sekunden ist der Dienst erreichbar.',
      stopServing: (name, other) => `${name} hört auf zu dienen und übergibt an ${other}. Die Nutzer merken eine kurze Unterbrechung, meist wenige Sekunden.`,
      stopLast: (name) => `${name} dient als einziger Knoten. Der Dienst steht für alle still, bis er wieder gestartet wird.`,
      stopSecond: (name, other) => `${name} scheidet aus. ${other} dient weiter, ohne zweite Kopie, bis ${name} wieder gestartet wird.`,
      stopOther: (name) => `${name} stoppt und wartet auf einen Start.`,
      stopAll: 'Der Dienst steht für alle still. Beide Kopien werden angeglichen und als gleich vermerkt, dann stoppen beide Knoten.',
      restart: (name) => `Die Dienste auf ${name} werden dort gestoppt und gestartet. Nichts wechselt auf den anderen Knoten. So lange dauert die Unterbrechung.`,
      swap: (from, to) => `Die Rollen werden getauscht: Die Dienste enden auf ${from} und starten auf ${to}. Die Nutzer merken eine kurze Unterbrechung. Können sie dort nicht starten, wird zurückgetauscht.`,
      stopstartServing: (name, other) => `${name} stoppt, übergibt an ${other} und kommt als Bereitschaft zurück.`,
      stopstartAlone: (name) => `Der Dienst auf ${name} wird beendet und neu gestartet.`,
      stopstart: (name) => `${name} stoppt, startet neu und gleicht sich ab.`,
      prim: (name) => `${name} dient: Seine Dienste starten, und er nimmt die virtuelle Adresse.`,
      force: (name, other) => `${name} dient mit dem, was da ist, ob nachweislich aktuell oder nicht. ${other} muss aus sein: Zwei dienende Knoten ergeben zwei Datenstände.`,
      second: (name) => `${name} startet in Bereitschaft und gleicht sich ab. Das wird abgelehnt, wenn niemand dient.`,
      fullSync: (name, other) => `Der Kopie auf ${name} wird nichts geglaubt: Alles wird mit der von ${other} verglichen, und was abweicht, wird gesendet. Dazu wird auf beiden Knoten alles gelesen; die Anwendung läuft weiter.`,
      verify: 'Beide Kopien werden verglichen, Namen, Attribute und Inhalte, während die Anwendung weiterläuft. Was in der Kopie des Bereitschaftsknotens abweicht, wird gezählt, mit seinem Pfad protokolliert und neu gesendet. Die Rollen bleiben, wie sie sind.',
    },
  },

  switches: {
    off: { failover: 'Die automatische Übernahme ist aus', checkers: 'Die Fehlererkennung ist ausgesetzt' },
    switchBoot: {
      turnOn: 'Start beim Hochfahren einschalten', turnOff: 'Start beim Hochfahren ausschalten',
      on: 'Nach dem Hochfahren dieses Rechners startet das Modul auf diesem Knoten von selbst.',
      off: 'Nach dem Hochfahren dieses Rechners bleibt das Modul auf diesem Knoten in STOP, bis es jemand startet.',
    },
    switchCheckers: {
      turnOn: 'Fehlererkennung fortsetzen', turnOff: 'Fehlererkennung aussetzen',
      on: 'Was Prüfer und Dienste auf diesem Knoten melden, hat wieder Folgen.',
      off: 'Was Prüfer und Dienste auf diesem Knoten melden, hat keine Folgen: Ein ausgefallener Dienst wird weder neu gestartet noch dem anderen Knoten gegeben, bis das fortgesetzt wird.',
    },
    switchFailover: {
      turnOn: 'Automatische Übernahme einschalten', turnOff: 'Automatische Übernahme ausschalten',
      on: 'Der Dienst darf wieder von selbst zwischen den Knoten wechseln.',
      off: 'Der Dienst wechselt nicht mehr von selbst: Fällt der dienende Knoten aus, steht er still, bis jemand handelt.',
    },
  },

  divergence: {
    title: 'Was jede Seite hat',
    side: 'Seite',
    generation: 'Generation',
    size: 'Größe der Kopie',
    serves: 'Dient jetzt',
    common: (generation) => `Bis zur Generation ${generation} waren beide gleich.`,
    unrelated: 'Die beiden Kopien haben nichts gemeinsam.',
    choice: (keeps, gives) =>
      `Soll die Seite von ${keeps} gelten: „Als Secondary starten“ im Menü von ${gives}. Soll die Seite von ${gives} gelten: ${keeps} stoppen, auf ${gives} „Start als Primary erzwingen“, dann auf ${keeps} „Als Secondary starten“.`,
  },

  firstStart: {
    title: 'Was zurzeit in den Verzeichnissen steht',
    volume: 'Volume',
    size: 'Größe',
    files: 'Dateien',
    newest: 'Neueste Änderung',
    empty: 'leer',
    least: (much) => `mindestens ${much}`,
  },

  tabs: { resources: 'Ressourcen', log: 'Modulprotokoll', journal: 'Systemprotokoll', commands: 'Befehlsprotokoll', information: 'Information' },

  resources: {
    name: 'Name',
    state: 'Zustand',
    reason: 'Grund',
    node: 'Knoten',
    kind: 'Art',
    service: 'Dienst',
    checker: 'Prüfer',
    address: 'Adresse',
    volume: 'Spiegel',
    channel: 'Kanal',
    held: 'hier',
    free: 'nicht hier',
    heard: (time) => `vor ${time} gehört`,
    silent: 'stumm',
    refused: (count) => `${count} abgelehnt`,
    history: 'Verlauf',
    historyOf: (name) => `Verlauf von ${name}`,
  },

  log: {
    time: 'Zeit',
    node: 'Knoten',
    what: 'Was und warum',
    filter: 'Filtern',
    live: 'Live',
    alarmsOnly: 'Nur Alarme',
    inputs: 'Entschieden aufgrund von',
    row: (row) => `Übergang ${row}`,
    english: 'Die Knoten schreiben ihre Gründe auf Englisch.',
    alarm: 'Alarm',
  },

  journal: {
    source: 'Wessen Protokoll',
    sources: { daemon: 'Daemon', mirror: 'Spiegel', application: 'Anwendung' },
    warnings: 'Nur Warnungen und Fehler',
    warning: 'Warnung',
    error: 'Fehler',
    of: (name) => `Das Journal von ${name}. Das des anderen Knotens zeigt die Konsole dort.`,
    noUnits: 'Die Dienste dieses Moduls sind keine Units: Was sie schreiben, wird nicht aufgehoben.',
    missed: 'Einige Zeilen fehlen: Es kamen mehr auf einmal, als gezeigt werden.',
  },

  audit: {
    who: 'Wer',
    from: 'Von wo',
    what: 'Was',
    why: 'Warum',
    result: 'Ergebnis',
    adminOnly: 'Das Befehlsprotokoll sehen nur Benutzer mit der Rolle admin.',
  },

  information: {
    node: 'Knoten',
    address: 'Adresse',
    version: 'Version',
    record: 'In-sync-Eintrag',
    epoch: 'Epoche',
    holder: 'Inhaber',
    insync: 'In sync',
    generation: 'Generation',
    confirmed: 'Von beiden bestätigt',
    permit: 'Erlaubnis',
    permitLeft: (time) => `endet in ${time}, wenn sie nicht erneuert wird`,
    mirror: 'Spiegel',
    size: 'Größe der Daten',
    support: 'Support-Paket',
    supportWhat:
      'Eine Datei für alle, die helfen: Zustände, Verlauf und Protokolle beider Knoten, Konfiguration, Versionen, Angaben zum Rechner. Kennwörter, Tokens, Schlüssel und Umgebungsvariablen sind nicht darin. Das dauert bis zu einer Minute.',
    supportDownload: 'Herunterladen',
    supportAnonymous: 'Ohne Namen und Adressen herunterladen',
    takeover: 'Übernahme nach Stille von',
    yes: 'ja',
    no: 'nein',
  },

  monitoring: {
    changes: 'Änderungen',
    changesUnit: 'pro Sekunde',
    waiting: 'Unterwegs',
    waitingUnit: 'Änderungen, die der andere Knoten noch nicht hat',
    throughput: 'Durchsatz',
    throughputUnit: 'pro Sekunde zum anderen Knoten gesendet',
    latency: 'Verzögerung',
    latencyUnit: 'bis Bestätigtes auf der anderen Platte ist',
    exposure: 'Nur hier',
    exposureUnit: 'bestätigte Bytes, die es nur hier gibt',
    exposureAge: 'Alter der ältesten davon',
    exposureAgeUnit: 'Sekunden',
    resync: 'Abgleich',
    resyncUnit: 'verglichene Bytes pro Sekunde',
    quarter: 'Letzte 15 Minuten',
    day: 'Letzter Tag',
    summary: (now, max) => `jetzt ${now}, höchstens ${max}`,
  },

  timeline: {
    title: 'Zustände beider Knoten',
    span: { quarter: '15 min', hour: '1 Stunde', day: '1 Tag', week: '7 Tage' },
    list: 'Wechsel',
    empty: 'In dieser Zeit hat sich nichts geändert.',
  },

  users: {
    title: 'Benutzer',
    tokens: 'Token für Skripte',
    add: 'Benutzer anlegen',
    addToken: 'Token anlegen',
    name: 'Name',
    role: 'Rolle',
    changed: 'Geändert',
    password: 'Passwort',
    repeat: 'Passwort wiederholen',
    old: 'Jetziges Passwort',
    new: 'Neues Passwort',
    differ: 'Die beiden Passwörter sind verschieden.',
    short: 'Mindestens 8 Zeichen.',
    nameHint: 'Kleinbuchstaben, Ziffern, - _ .',
    remove: 'Entfernen',
    removeQuestion: (name) => `${name} entfernen? Offene Sitzungen enden sofort.`,
    reset: 'Passwort setzen',
    tokenOnce: 'Kopieren Sie dieses Token jetzt. Es wird nicht noch einmal gezeigt.',
    roles: { monitor: 'monitor: sieht', control: 'control: gibt Befehle', admin: 'admin: alles' },
    thisNode: (name) => `Eine Änderung gilt auf beiden Knoten, sobald sie miteinander sprechen (diese Seite: ${name}).`,
    done: 'Fertig.',
    signInAgain: 'Das Passwort ist geändert. Bitte melden Sie sich damit an.',
  },
};
