// One dashboard, drawn by Grafana's own components: its JSON and what Prometheus answered in (window.DRAWN), a page out.
//
// Lines, numbers, axes, units, thresholds, colours and legends are those of @grafana/ui and @grafana/data. State timelines,
// heatmaps and tables are drawn here: Grafana has them in its server's plugins alone.
import * as React from 'react';
import { createRoot } from 'react-dom/client';
import {
  createTheme, dateTime, FieldType, getDisplayProcessor, getFieldDisplayName, getFieldDisplayValues, getValueFormat,
  formattedValueToString, ThemeContext, toDataFrame, type DataFrame, type Field,
} from '@grafana/data';
import { BigValue, BigValueColorMode, BigValueGraphMode, BigValueJustifyMode, BigValueTextMode, TimeSeries } from '@grafana/ui';

interface Series { legend: string; labels: Record<string, string>; points: Array<[number, number]> }
interface Drawn { dashboard: any; series: Record<string, Series[]>; from: number; to: number }

const { dashboard, series, from, to } = (window as any).DRAWN as Drawn;
const theme = createTheme({ colors: { mode: 'light' } });
const UNIT = 58, ROW = 34, GAP = 6;
const range = { from: dateTime(from * 1000), to: dateTime(to * 1000), raw: { from: dateTime(from * 1000), to: dateTime(to * 1000) } };

function frames(panel: any): DataFrame[] {
  return (series[panel.id] ?? []).map((one) => {
    const frame = toDataFrame({
      name: one.legend,
      fields: [
        { name: 'Time', type: FieldType.time, values: one.points.map(([at]) => at * 1000), config: { interval: 1000 * step() } },
        { name: one.legend, type: FieldType.number, values: one.points.map(([, value]) => value), config: config(panel, one.legend) },
      ],
    });
    frame.fields.forEach((field) => (field.display = getDisplayProcessor({ field, theme })));
    return frame;
  });
}

function config(panel: any, legend: string): any {
  const made = { ...panel.fieldConfig.defaults, displayName: legend };
  for (const { matcher, properties } of panel.fieldConfig.overrides) {
    const pattern = matcher.id === 'byRegexp' ? new RegExp(matcher.options.slice(1, -1)) : undefined;
    if (pattern?.test(legend)) { properties.filter((p: any) => p.id === 'color').forEach((p: any) => (made.color = p.value)); }
  }
  return made;
}

function Lines({ panel, width, height }: any) {
  const all = frames(panel).map((frame, number) => {
    frame.fields[1].state = { seriesIndex: number };
    frame.fields[1].display = getDisplayProcessor({ field: frame.fields[1], theme });
    return frame;
  });
  const legend = { ...panel.options.legend, displayMode: 'list', calcs: ['lastNotNull'] };
  return <TimeSeries frames={all} width={width} height={height} timeRange={range as any} timeZone="utc" legend={legend} options={panel.options} />;
}

function Numbers({ panel, width, height }: any) {
  const values = getFieldDisplayValues({
    data: frames(panel), fieldConfig: { defaults: panel.fieldConfig.defaults, overrides: [] }, reduceOptions: panel.options.reduceOptions,
    replaceVariables: (text: string) => text, theme, sparkline: panel.options.graphMode === 'area',
  } as any);
  return (
    <>
      {values.map((value, number) => (
        <BigValue key={number} theme={theme} width={width} height={height / values.length} value={{ ...value.display, title: panel.options.textMode === 'value' ? undefined : value.display.title }}
          sparkline={value.sparkline} colorMode={panel.options.colorMode as BigValueColorMode} graphMode={panel.options.graphMode as BigValueGraphMode}
          justifyMode={BigValueJustifyMode.Auto} textMode={panel.options.textMode as BigValueTextMode} />
      ))}
    </>
  );
}

// Drawn here from the JSON's own mappings.
function Timeline({ panel, width, height }: any) {
  const all = frames(panel), line = Math.min(28, (height - 18) / Math.max(all.length, 1)), left = Math.min(190, width * 0.4);
  const at = (time: number) => left + ((time / 1000 - from) / (to - from)) * (width - left - 8);
  return (
    <svg width={width} height={height} style={{ fontSize: 11, fontFamily: 'sans-serif' }}>
      {all.map((frame, number) => {
        const [times, values] = [frame.fields[0].values, frame.fields[1].values];
        return (
          <g key={number} transform={`translate(0, ${number * line})`}>
            <text x={left - 6} y={line / 2 + 4} textAnchor="end" fill={theme.colors.text.primary}>{getFieldDisplayName(frame.fields[1], frame).slice(0, 32)}</text>
            {times.map((time: number, index: number) => (
              <rect key={index} x={at(time)} y={2} width={Math.max(at(time + 1000 * step()) - at(time), 1)} height={line - 4} fill={frame.fields[1].display!(values[index]).color} opacity={0.8} />
            ))}
          </g>
        );
      })}
      <Ticks left={left} width={width} y={height - 3} />
    </svg>
  );
}

function Ticks({ left, width, y }: any) {
  const shown = [0, 0.25, 0.5, 0.75].map((share) => from + share * (to - from));
  return <>{shown.map((time) => <text key={time} x={left + ((time - from) / (to - from)) * (width - left)} y={y} fontSize={10} fill={theme.colors.text.secondary}>{new Date(time * 1000).toISOString().slice(11, 19)}</text>)}</>;
}

function step(): number { return (window as any).STEP ?? 1; }

function Heat({ panel, width, height }: any) {
  const rows = [...(series[panel.id] ?? [])].sort((a, b) => bound(a) - bound(b));
  const left = 58, high = (height - 18) / Math.max(rows.length, 1), unit = getValueFormat(panel.options.yAxis.unit);
  const cells = rows.flatMap((row, level) => row.points.map(([at, value], index) => {
    const below = level ? new Map(rows[level - 1].points).get(at) ?? 0 : 0;
    return { at, level, count: Math.max(value - below, 0) };
  }));
  const most = Math.max(...cells.map((cell) => cell.count), 1e-9);
  const wide = ((width - left) / (to - from)) * step();
  return (
    <svg width={width} height={height} style={{ fontFamily: 'sans-serif' }}>
      {cells.filter((cell) => cell.count > 1e-9).map((cell, number) => (
        <rect key={number} x={left + (cell.at - from) * wide / step()} y={(rows.length - 1 - cell.level) * high + 0.5} width={wide} height={Math.max(high - 1, 1)} fill={turbo(Math.sqrt(cell.count / most))} />
      ))}
      {rows.map((row, level) => (rows.length < 10 || level % 2 === 0) && (
        <text key={level} x={left - 4} y={(rows.length - level - 0.5) * high + 4} fontSize={10} textAnchor="end" fill={theme.colors.text.secondary}>
          {Number.isFinite(bound(row)) ? formattedValueToString(unit(bound(row))) : '+Inf'}
        </text>
      ))}
      <Ticks left={left} width={width} y={height - 3} />
    </svg>
  );
}

function bound(one: Series): number { return one.labels.le === '+Inf' ? Infinity : Number(one.labels.le); }
function turbo(share: number): string { return `hsl(${250 - 250 * share}, 80%, ${45 + 10 * share}%)`; }

function Rows({ panel }: any) {
  const organize = panel.transformations.find((one: any) => one.id === 'organize').options.renameByName;
  const mapping = panel.fieldConfig.overrides[0]?.properties.find((one: any) => one.id === 'mappings')?.value[0].options ?? {};
  return (
    <table style={{ width: '100%', fontSize: 13, borderCollapse: 'collapse' }}>
      <thead><tr>{Object.values(organize).map((name: any) => <th key={name} style={{ textAlign: 'left', padding: 6, borderBottom: '1px solid #ddd' }}>{name}</th>)}</tr></thead>
      <tbody>{(series[panel.id] ?? []).map((one, number) => <tr key={number}>{Object.keys(organize).map((label) => (
        <td key={label} style={{ padding: 6, borderBottom: '1px solid #eee', color: mapping[one.labels[label]] && theme.visualization.getColorByName(mapping[one.labels[label]].color) }}>{one.labels[label]}</td>))}</tr>)}</tbody>
    </table>
  );
}

const KINDS: Record<string, React.FC<any>> = { timeseries: Lines, stat: Numbers, 'state-timeline': Timeline, heatmap: Heat, table: Rows };

function Box({ panel }: any) {
  const { x, y, w, h } = panel.gridPos;
  const width = w * UNIT - GAP, height = h * ROW - GAP, place = { position: 'absolute' as const, left: x * UNIT, top: 46 + y * ROW, width, height };
  if (panel.type === 'row') { return <div style={{ ...place, fontWeight: 500, padding: '6px 4px', fontSize: 15 }}>⌄ {panel.title}</div>; }
  const Kind = KINDS[panel.type], empty = (series[panel.id] ?? []).every((one) => one.points.length === 0);
  return (
    <div style={{ ...place, background: theme.colors.background.primary, border: `1px solid ${theme.colors.border.weak}`, borderRadius: 3, overflow: 'hidden' }}>
      <div style={{ fontSize: 14, fontWeight: 500, padding: '6px 8px', height: 30, whiteSpace: 'nowrap', overflow: 'hidden', textOverflow: 'ellipsis' }}>{panel.title}</div>
      <div style={{ padding: '0 8px' }}>
        {empty ? <div style={{ textAlign: 'center', paddingTop: height / 3 - 20, color: theme.colors.text.secondary }}>{panel.fieldConfig.defaults.noValue ?? 'No data'}</div> : <Kind panel={panel} width={width - 18} height={height - 46} />}
      </div>
    </div>
  );
}

document.body.style.cssText = `margin: 8px; background: ${theme.colors.background.canvas}; color: ${theme.colors.text.primary}; font-family: ${theme.typography.fontFamily}; font-size: 14px; line-height: 1.4`;
createRoot(document.getElementById('root')!).render(
  <ThemeContext.Provider value={theme}>
    <div style={{ fontSize: 20, height: 40 }}>{dashboard.title}</div>
    {dashboard.panels.map((panel: any) => <Box key={panel.id} panel={panel} />)}
  </ThemeContext.Provider>
);
